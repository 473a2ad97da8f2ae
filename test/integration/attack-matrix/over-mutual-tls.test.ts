import { attackMatrix } from "./attack-matrix.contract.ts";

attackMatrix("over mutual TLS");
