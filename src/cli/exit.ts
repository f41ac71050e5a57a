/** Exit statuses of every command. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
/** Of `check`: neither kept nor broken. */
export const EXIT_NOT_ENOUGH = 3;
