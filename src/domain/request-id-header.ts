/** Tells whoever asks by which id the request is in the log. */
export const REQUEST_ID_HEADER = 'x-request-id'
