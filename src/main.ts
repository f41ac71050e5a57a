#!/usr/bin/env -S node --max-semi-space-size=16 --external-memory-accounted-in-global-limit
/** The command line's door: runs one command and leaves with its exit status. */
import { runCommand } from './cli/commands.ts';
import { processContext } from './cli/context.ts';

process.exit(await runCommand(process.argv.slice(2), processContext()));
