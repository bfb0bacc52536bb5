// A rotation killed at every request, where the suite tries three.
process.env.ALL_CASES = '1'

await import('../ultravox/rotation.test.ts')

export {}
