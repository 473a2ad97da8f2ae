export { allInOneConfig } from "./all-in-one-config.ts";
export { type RunningAllInOne, startAllInOne } from "./start-all-in-one.ts";
