/**
 * What Prometheus expects any process to say of itself, under the names that every client library has, and how busy the main thread is. Read when asked
 * for: prom-client's own set would look at the event loop a hundred times a second for as long as the agent lives.
 *
 * https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { Counter, Gauge, type Registry } from 'prom-client';

/** Linux alone has these. */
const FILES = '/proc/self/fd';
const LIMITS = '/proc/self/limits';

export function createProcessMetrics(registers: Registry[]) {
  const startS = Date.now() / 1000 - process.uptime();
  return {
    processCpu: new Counter({
      name: 'process_cpu_seconds_total',
      help: 'CPU time of all threads, user and system',
      registers,
      collect() {
        const { user, system } = process.cpuUsage();
        this.reset();
        this.inc((user + system) / 1e6);
      },
    }),
    processStart: new Gauge({
      name: 'process_start_time_seconds',
      help: 'When the process started, Unix seconds',
      registers,
      collect() {
        this.set(startS);
      },
    }),
    processResident: new Gauge({
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the process',
      registers,
      collect() {
        this.set(process.memoryUsage.rss());
      },
    }),
    processOpenFiles: new Gauge({
      name: 'process_open_fds',
      help: 'Open file descriptors, sockets included',
      registers,
      collect() {
        if (existsSync(FILES)) this.set(readdirSync(FILES).length);
      },
    }),
    processMostFiles: new Gauge({
      name: 'process_max_fds',
      help: 'How many there may be',
      registers,
      collect() {
        const limit = existsSync(LIMITS) ? /^Max open files\s+(\d+)/m.exec(readFileSync(LIMITS, 'latin1')) : null;
        if (limit !== null) this.set(Number(limit[1]));
      },
    }),
    eventLoopActive: new Counter({
      name: 'plumbline_event_loop_active_seconds_total',
      help: 'Time in which the main thread had work to do; at 1 a second it is the limit',
      registers,
      collect() {
        this.reset();
        this.inc(performance.eventLoopUtilization().active / 1000);
      },
    }),
  };
}
