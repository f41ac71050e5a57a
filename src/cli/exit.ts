/** Exit statuses of every command. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
