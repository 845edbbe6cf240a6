/** A signed head (C2SP tlog-checkpoint in a signed note), read and checked in the window itself. */

import { fromBase64, fromHex, toHex } from './merkle'

export interface SignedHead {
  origin: string
  size: number
  /** In hex. */
  root: string
  /** The Ed25519 signature of the key this device keeps for the log: `null` where this window cannot check such. */
  signed: boolean | null
  /** Others who signed it too, by name. */
  cosigned: string[]
}

interface Key {
  name: string
  id: string
  key: Uint8Array<ArrayBuffer>
}

/** `<origin>+<id>+<key>`; the key may hold pluses itself. */
export function readKey(vkey: string): Key | null {
  const [name, id] = vkey.split('+', 2)
  if (!name || !id || !/^[0-9a-f]{8}$/.test(id)) return null
  const key = fromBase64(vkey.slice(name.length + id.length + 2))
  return key?.length === 33 && key[0] === 1 ? { name, id, key: key.slice(1) } : null
}

/** The note's head, and whether the log's key signed it; `null` when it is no such note. */
export async function readNote(note: string, vkey: string | null): Promise<SignedHead | null> {
  const end = note.lastIndexOf('\n\n')
  if (end < 0) return null
  const text = note.slice(0, end + 1)
  const [origin, size, root] = text.split('\n')
  const bytes = root ? fromBase64(root) : null
  if (!origin || !size || !/^(0|[1-9][0-9]*)$/.test(size) || bytes?.length !== 32) return null
  const signatures = note.slice(end + 2).split('\n').filter(Boolean).flatMap((line) => {
    const [, name, value] = /^\u2014 (\S+) (\S+)$/.exec(line) ?? []
    const found = value ? fromBase64(value) : null
    return name && found && found.length > 4 ? [{ name, id: toHex(found.slice(0, 4)), value: found.slice(4) }] : []
  })
  const key = vkey ? readKey(vkey) : null
  const own = key && signatures.find((s) => s.name === key.name && s.id === key.id)
  let signed: boolean | null = false
  if (key && own && key.name === origin) signed = await verified(key.key, own.value, text)
  else if (!key) signed = null
  const cosigned = signatures.filter((s) => s !== own).map((s) => s.name)
  return { origin, size: Number(size), root: toHex(bytes), signed, cosigned }
}

async function verified(key: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>, text: string): Promise<boolean | null> {
  try {
    const imported = await crypto.subtle.importKey('raw', key, { name: 'Ed25519' }, false, ['verify'])
    return await crypto.subtle.verify({ name: 'Ed25519' }, imported, signature, new TextEncoder().encode(text))
  } catch {
    return null
  }
}

/** `c2:08:5e:b1`, from the id in a key. */
export function keyId(vkey: string): string {
  const key = readKey(vkey)
  return key ? Array.from(fromHex(key.id), (b) => b.toString(16).padStart(2, '0')).join(':') : ''
}
