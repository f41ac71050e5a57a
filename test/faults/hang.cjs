/** Preloaded into the agent by tests: while the FIFO of PLUMBLINE_HANG is there, each write holds a thread of libuv's pool for ever. */
const fs = require('node:fs');

const { writev } = fs;
fs.writev = (...args) => {
  if (fs.existsSync(process.env.PLUMBLINE_HANG)) fs.open(process.env.PLUMBLINE_HANG, 'r', () => undefined);
  else writev(...args);
};
