import { fstatSync, readSync } from 'node:fs'

/*
 * Reads SQLite's files past SQLite, which shows a database only together with its WAL and its cache.
 * Format: https://sqlite.org/fileformat2.html and https://sqlite.org/walformat.html
 */

const MAGIC = Buffer.from('SQLite format 3\0')
const PAGE_SIZE_AT = 16
const PAGE_COUNT_AT = 28
export const HEADER_BYTES = 100

const INTERIOR_TABLE = 0x05
const LEAF_TABLE = 0x0d
const INTERIOR_HEADER_BYTES = 12
const LEAF_HEADER_BYTES = 8
const CELL_COUNT_AT = 3

/** The least significant bit says in which byte order its checksums are. */
const WAL_MAGIC = 0x377f0682
export const WAL_HEADER_BYTES = 32
export const FRAME_HEADER_BYTES = 24
const SALTS_AT = 16
const SALT_BYTES = 8
const FRAME_SALTS_AT = 8

/** Frames that are read at once. */
const FRAMES_AT_ONCE = 64

export type Value = number | string | Buffer | null

export interface DatabaseHeader {
  readonly pageBytes: number
  readonly pages: number
  /** Whether it is written with a WAL. A copy made by `backup`, `vacuum into` or `.dump` is not. */
  readonly hasWal: boolean
  readonly userVersion: number
  readonly applicationId: number
}

/** Null where the first bytes are not those of an SQLite database. */
export function parseHeader(bytes: Buffer): DatabaseHeader | null {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return null
  const pageBytes = bytes.readUInt16BE(PAGE_SIZE_AT)
  return {
    // 65536 does not fit into two bytes.
    pageBytes: pageBytes === 1 ? 65_536 : pageBytes,
    pages: bytes.readUInt32BE(PAGE_COUNT_AT),
    hasWal: bytes[18] === 2 && bytes[19] === 2,
    userVersion: bytes.readUInt32BE(60),
    applicationId: bytes.readUInt32BE(68),
  }
}

export function readHeader(file: number): DatabaseHeader | null {
  return parseHeader(readAt(file, 0, HEADER_BYTES))
}

/** Shorter where the file ends before. */
function readAt(file: number, at: number, bytes: number): Buffer {
  return readInto(Buffer.alloc(bytes), file, at)
}

/** Fills the buffer, and returns the part of it that was filled. */
export function readInto(buffer: Buffer, file: number, at: number): Buffer {
  const bytes = readSync(file, buffer, 0, buffer.length, at)
  return bytes === buffer.length ? buffer : buffer.subarray(0, bytes)
}

export function readPage(file: number, pageBytes: number, page: number): Buffer {
  return readAt(file, (page - 1) * pageBytes, pageBytes)
}

/** The root page of a table, by the schema in the file itself. Null where it has no such table, or is damaged. */
export function rootPage(file: number, table: string): number | null {
  const header = readHeader(file)
  if (header === null) return null
  const seen = new Set<number>()
  const pages = [1]
  for (let page = pages.pop(); page !== undefined; page = pages.pop()) {
    if (seen.has(page)) continue
    seen.add(page)
    const bytes = readPage(file, header.pageBytes, page)
    const offset = page === 1 ? HEADER_BYTES : 0
    try {
      for (const [type, name, , root] of recordsIn(bytes, offset))
        if (type === 'table' && name === table) return Number(root)
      pages.push(...childrenIn(bytes, offset))
    } catch (error) {
      // An offset that leads out of the page.
      if (!(error instanceof RangeError)) throw error
    }
  }
  return null
}

/** The columns of the only row of a table that has a single page. Null where the page is anything else. */
export function onlyRecord(page: Buffer): Value[] | null {
  try {
    return page[0] === LEAF_TABLE && page.readUInt16BE(CELL_COUNT_AT) === 1 ? recordsIn(page, 0)[0]! : null
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

/** Whether a page is that of a table without a row. */
export function isEmptyTable(page: Buffer): boolean {
  return page.length > LEAF_HEADER_BYTES && page[0] === LEAF_TABLE && page.readUInt16BE(CELL_COUNT_AT) === 0
}

function recordsIn(page: Buffer, offset: number): Value[][] {
  if (page[offset] !== LEAF_TABLE) return []
  return cellsIn(page, offset, LEAF_HEADER_BYTES).map((at) => {
    const [length, afterLength] = varint(page, at)
    const [, start] = varint(page, afterLength)
    return parseRecord(page.subarray(start, start + length))
  })
}

function childrenIn(page: Buffer, offset: number): number[] {
  if (page[offset] !== INTERIOR_TABLE) return []
  const left = cellsIn(page, offset, INTERIOR_HEADER_BYTES).map((at) => page.readUInt32BE(at))
  return [...left, page.readUInt32BE(offset + 8)]
}

function cellsIn(page: Buffer, offset: number, headerBytes: number): number[] {
  const count = page.readUInt16BE(offset + CELL_COUNT_AT)
  return Array.from({ length: count }, (_, n) => page.readUInt16BE(offset + headerBytes + 2 * n))
}

/** What of a record is on its first page; a long column is cut off there, and so are those after it. */
function parseRecord(payload: Buffer): Value[] {
  const values: Value[] = []
  const [headerBytes, first] = varint(payload, 0)
  let at = headerBytes
  for (let next = first; next < headerBytes && at <= payload.length; ) {
    const [type, after] = varint(payload, next)
    const [value, bytes] = parseValue(payload, at, type)
    values.push(value)
    at += bytes
    next = after
  }
  return values
}

const INTEGER_BYTES = [0, 1, 2, 3, 4, 6, 8]

function parseValue(payload: Buffer, at: number, type: number): [Value, number] {
  if (type === 0) return [null, 0]
  if (type === 6) return [Number(payload.readBigInt64BE(at)), 8]
  if (type < 6) return [payload.readIntBE(at, INTEGER_BYTES[type]!), INTEGER_BYTES[type]!]
  if (type === 7) return [payload.readDoubleBE(at), 8]
  if (type === 8 || type === 9) return [type - 8, 0]
  const bytes = Math.floor((type - 12) / 2)
  const value = payload.subarray(at, at + bytes)
  return [type % 2 === 0 ? value : value.toString(), bytes]
}

/** The number, and where it ends. */
function varint(bytes: Buffer, at: number): [number, number] {
  let value = 0
  for (let n = 0; n < 8; n++) {
    const byte = bytes.readUInt8(at + n)
    value = value * 0x80 + (byte & 0x7f)
    if (byte < 0x80) return [value, at + n + 1]
  }
  return [value * 0x100 + bytes.readUInt8(at + 8), at + 9]
}

export interface WalHeader {
  readonly salts: Buffer
  readonly pageBytes: number
  /** How often it was begun once more, over the frames that it had; 0 in a new file. */
  readonly restarts: number
}

/** Null where the file does not begin as a WAL, or its header is not whole: SQLite then finds nothing in it. */
export function readWalHeader(file: number): WalHeader | null {
  const bytes = readAt(file, 0, WAL_HEADER_BYTES)
  const salts = walSalts(bytes)
  if (salts === null) return null
  const isBigEndian = (bytes[3]! & 1) === 1
  const word = (at: number) => (isBigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at))
  let [a, b] = [0, 0]
  for (let at = 0; at < 24; at += 8) {
    a = (a + word(at) + b) >>> 0
    b = (b + word(at + 4) + a) >>> 0
  }
  if (bytes.readUInt32BE(24) !== a || bytes.readUInt32BE(28) !== b) return null
  return { salts, pageBytes: bytes.readUInt32BE(8), restarts: bytes.readUInt32BE(12) }
}

/** The salts in the first bytes of a WAL; null where they are not those of one. The checksum of the header is not checked. */
export function walSalts(bytes: Buffer): Buffer | null {
  const isWal = bytes.length >= WAL_HEADER_BYTES && (bytes.readUInt32BE(0) & ~1) === WAL_MAGIC
  return isWal ? bytes.subarray(SALTS_AT, SALTS_AT + SALT_BYTES) : null
}

/** The salts in the header of a frame. */
export const frameSalts = (bytes: Buffer): Buffer => bytes.subarray(FRAME_SALTS_AT, FRAME_SALTS_AT + SALT_BYTES)

/**
 * The pages in a WAL since it was last begun, in the order in which they were written. The checksums of frames are not checked: the
 * last ones may belong to a transaction that was never committed.
 */
export function* pagesInWal(file: number): Generator<Buffer> {
  const header = readWalHeader(file)
  if (header === null) return
  const frameBytes = FRAME_HEADER_BYTES + header.pageBytes
  const { size } = fstatSync(file)
  for (let at = WAL_HEADER_BYTES; at < size; at += FRAMES_AT_ONCE * frameBytes) {
    const bytes = readAt(file, at, FRAMES_AT_ONCE * frameBytes)
    for (let frame = 0; frame + frameBytes <= bytes.length; frame += frameBytes) {
      if (!frameSalts(bytes.subarray(frame)).equals(header.salts)) return
      yield bytes.subarray(frame + FRAME_HEADER_BYTES, frame + frameBytes)
    }
  }
}

/** Where the index of a WAL (the file ending in -shm) has what. */
export const INDEX_BYTES = 100
const INDEX_FRAMES_AT = 16
const INDEX_SALTS_AT = 32
const INDEX_BACKFILLED_AT = 96
const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

export interface WalIndex {
  /** Committed frames. */
  readonly frames: number
  /** Of these, those that are in the database file. */
  readonly backfilled: number
  readonly salts: Buffer
}

/** Null where the file is too short. */
export function parseWalIndex(bytes: Buffer): WalIndex | null {
  if (bytes.length < INDEX_BYTES) return null
  const word = (at: number) => (isLittleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at))
  return {
    frames: word(INDEX_FRAMES_AT),
    backfilled: word(INDEX_BACKFILLED_AT),
    salts: bytes.subarray(INDEX_SALTS_AT, INDEX_SALTS_AT + SALT_BYTES),
  }
}
