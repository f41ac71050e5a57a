/** A fixed piece of work: prints the CPU milliseconds it took. Slots whose machine was faster or slower than the others' are told by it. */
const bytes = new Uint8Array(1 << 20);

function work(): number {
  let sum = 0;
  for (let round = 0; round < 120; round++) {
    for (let i = 0; i < bytes.length; i++) sum = Math.imul(sum ^ (bytes[i] as number), 0x0100_0193);
    bytes.copyWithin(1, 0);
  }
  return sum;
}

work();
const before = process.cpuUsage();
work();
const { user, system } = process.cpuUsage(before);
console.log((user + system) / 1000);
