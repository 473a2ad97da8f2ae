export { createThrowAwayDatabase, type ThrowAwayDatabase } from "./throw-away-database.ts";
