// Loaded before mixpanel-import, which knows no address but Mixpanel's: its connections go to the server of the bench.
const undici = require(require.resolve('undici', { paths: [process.cwd()] }))

const { Pool } = undici
undici.Pool = class extends Pool {
  constructor(_, options) {
    super(process.env.BENCH_SERVER, options)
  }
}
