import { VERSION } from '../version.ts'

/** How the relay names itself to HTTP targets. */
export const USER_AGENT = `ultravox-relay/${VERSION}`
