import { asFailure } from '$lib/backend'
import type { App } from '$lib/state/app.svelte'
import { visible } from '$lib/text'

/** Writes the proof of a contradiction into Downloads, and says where. */
export async function saveEvidence(app: App): Promise<void> {
  try {
    app.notice(`Evidence saved: ${visible(await app.backend.exportEvidence())}`)
  } catch (thrown) {
    app.notice(`Evidence not saved: ${visible(asFailure(thrown).message)}`)
  }
}
