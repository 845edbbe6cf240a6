/** The icons this window uses, each imported alone so that no other is bundled. */

import Activity from '@lucide/svelte/icons/activity'
import Bookmark from '@lucide/svelte/icons/bookmark'
import Braces from '@lucide/svelte/icons/braces'
import Bell from '@lucide/svelte/icons/bell'
import CalendarClock from '@lucide/svelte/icons/calendar-clock'
import CalendarSearch from '@lucide/svelte/icons/calendar-search'
import Check from '@lucide/svelte/icons/check'
import ChevronDown from '@lucide/svelte/icons/chevron-down'
import ChevronLeft from '@lucide/svelte/icons/chevron-left'
import ChevronRight from '@lucide/svelte/icons/chevron-right'
import ChevronUp from '@lucide/svelte/icons/chevron-up'
import CircleAlert from '@lucide/svelte/icons/circle-alert'
import CircleCheck from '@lucide/svelte/icons/circle-check'
import CircleDashed from '@lucide/svelte/icons/circle-dashed'
import CircleDot from '@lucide/svelte/icons/circle-dot'
import CircleX from '@lucide/svelte/icons/circle-x'
import Clock from '@lucide/svelte/icons/clock'
import ClockAlert from '@lucide/svelte/icons/clock-alert'
import Copy from '@lucide/svelte/icons/copy'
import Database from '@lucide/svelte/icons/database'
import Eye from '@lucide/svelte/icons/eye'
import EyeOff from '@lucide/svelte/icons/eye-off'
import FileText from '@lucide/svelte/icons/file-text'
import Fingerprint from '@lucide/svelte/icons/fingerprint-pattern'
import Globe from '@lucide/svelte/icons/globe'
import HistoryIcon from '@lucide/svelte/icons/rotate-ccw-clock'
import Hourglass from '@lucide/svelte/icons/hourglass'
import Inbox from '@lucide/svelte/icons/inbox'
import Info from '@lucide/svelte/icons/info'
import KeyRound from '@lucide/svelte/icons/key-round'
import Keyboard from '@lucide/svelte/icons/keyboard'
import Laptop from '@lucide/svelte/icons/laptop'
import Link from '@lucide/svelte/icons/link'
import ListFilter from '@lucide/svelte/icons/list-filter'
import LoaderCircle from '@lucide/svelte/icons/loader-circle'
import Lock from '@lucide/svelte/icons/lock'
import LogOut from '@lucide/svelte/icons/log-out'
import Plug from '@lucide/svelte/icons/plug'
import Plus from '@lucide/svelte/icons/plus'
import RefreshCw from '@lucide/svelte/icons/refresh-cw'
import ScrollText from '@lucide/svelte/icons/scroll-text'
import Search from '@lucide/svelte/icons/search'
import Send from '@lucide/svelte/icons/send'
import Settings from '@lucide/svelte/icons/settings'
import ShieldAlert from '@lucide/svelte/icons/shield-alert'
import ShieldCheck from '@lucide/svelte/icons/shield-check'
import ShieldX from '@lucide/svelte/icons/shield-x'
import SquareTerminal from '@lucide/svelte/icons/square-terminal'
import Sun from '@lucide/svelte/icons/sun'
import Terminal from '@lucide/svelte/icons/terminal'
import Ticket from '@lucide/svelte/icons/ticket'
import Timer from '@lucide/svelte/icons/timer'
import TriangleAlert from '@lucide/svelte/icons/triangle-alert'
import Undo2 from '@lucide/svelte/icons/undo-2'
import Unplug from '@lucide/svelte/icons/unplug'
import User from '@lucide/svelte/icons/user'
import UsersRound from '@lucide/svelte/icons/users-round'
import Webhook from '@lucide/svelte/icons/webhook'
import WifiOff from '@lucide/svelte/icons/wifi-off'
import BadgeCheck from '@lucide/svelte/icons/badge-check'
import Download from '@lucide/svelte/icons/download'
import FileLock from '@lucide/svelte/icons/file-lock'
import FileSpreadsheet from '@lucide/svelte/icons/file-spreadsheet'
import Hash from '@lucide/svelte/icons/hash'
import TextIcon from '@lucide/svelte/icons/text-align-start'
import X from '@lucide/svelte/icons/x'

export const ICONS = {
  activity: Activity,
  bookmark: Bookmark,
  braces: Braces,
  bell: Bell,
  'calendar-clock': CalendarClock,
  'calendar-search': CalendarSearch,
  check: Check,
  'chevron-down': ChevronDown,
  'chevron-left': ChevronLeft,
  'chevron-right': ChevronRight,
  'chevron-up': ChevronUp,
  'circle-alert': CircleAlert,
  'circle-check': CircleCheck,
  'circle-dashed': CircleDashed,
  'circle-dot': CircleDot,
  'circle-x': CircleX,
  clock: Clock,
  'clock-alert': ClockAlert,
  copy: Copy,
  database: Database,
  eye: Eye,
  'eye-off': EyeOff,
  'file-text': FileText,
  fingerprint: Fingerprint,
  globe: Globe,
  history: HistoryIcon,
  hourglass: Hourglass,
  inbox: Inbox,
  info: Info,
  'key-round': KeyRound,
  keyboard: Keyboard,
  laptop: Laptop,
  link: Link,
  'list-filter': ListFilter,
  'loader-circle': LoaderCircle,
  lock: Lock,
  'log-out': LogOut,
  plug: Plug,
  plus: Plus,
  'refresh-cw': RefreshCw,
  'scroll-text': ScrollText,
  search: Search,
  send: Send,
  settings: Settings,
  'shield-alert': ShieldAlert,
  'shield-check': ShieldCheck,
  'shield-x': ShieldX,
  'square-terminal': SquareTerminal,
  sun: Sun,
  terminal: Terminal,
  ticket: Ticket,
  timer: Timer,
  'triangle-alert': TriangleAlert,
  'undo-2': Undo2,
  unplug: Unplug,
  user: User,
  'users-round': UsersRound,
  webhook: Webhook,
  'wifi-off': WifiOff,
  'badge-check': BadgeCheck,
  download: Download,
  'file-lock': FileLock,
  'file-spreadsheet': FileSpreadsheet,
  hash: Hash,
  text: TextIcon,
  x: X,
} as const

export type IconName = keyof typeof ICONS
