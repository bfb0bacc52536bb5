// What the suite tries of a rotation with a few seeds, tried with many.
process.env.SEEDS ??= '480'

await import('../ultravox/rotation-simulation.test.ts')

export {}
