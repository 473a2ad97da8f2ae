import { attackMatrix } from "./attack-matrix.contract.ts";

attackMatrix("all in one");
