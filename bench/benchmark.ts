/** How long a benchmark measures. */
export interface BenchmarkOptions {
  /** Every contestant has one turn in each round. */
  readonly rounds: number;
  /** Where servers write CPU profiles when they end; undefined: nowhere. Profiling costs CPU. */
  readonly profileDirectory: string | undefined;
  /** Called with a line for the person who waits. */
  readonly onProgress: (line: string) => void;
}

/** One line of a result. */
export interface BenchmarkRow {
  readonly name: string;
  /** One cell for each of the result's columns, with its unit where the column names none. */
  readonly cells: readonly string[];
}

/** A promise that a benchmark checks. */
export interface BenchmarkLimit {
  readonly name: string;
  readonly measured: number;
  /** The most that it may be. */
  readonly limit: number;
}

/** What a benchmark found. */
export interface BenchmarkResult {
  readonly name: string;
  readonly title: string;
  /** What was measured and how, in a sentence or two. */
  readonly method: string;
  readonly columns: readonly string[];
  readonly rows: readonly BenchmarkRow[];
  readonly limits: readonly BenchmarkLimit[];
}

/** A benchmark module exports one of these as `benchmark`. */
export interface Benchmark {
  readonly defaultRounds: number;
  run(options: BenchmarkOptions): Promise<Omit<BenchmarkResult, "name">>;
}

/** The middle value; of an even count the mean of the two in the middle. Throws RangeError for none. */
export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  if (low === undefined || high === undefined) throw new RangeError("there is no median of nothing");
  return (low + high) / 2;
}

/** The median of the rounds' ratios: both were measured side by side in each round, so what slowed one slowed the other. */
export function medianRatio(values: readonly number[], others: readonly number[]): number {
  return medianOf(values.map((value, round) => value / (others[round] ?? Number.NaN)));
}
