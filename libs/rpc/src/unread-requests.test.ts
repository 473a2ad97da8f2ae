import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { UnreadRequests } from "./unread-requests.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function begin(requests: UnreadRequests) {
  const cut = vi.fn();
  const request = requests.begin(cut);
  return { cut, count: (bytes: number) => request.count(bytes), read: () => request.read() };
}

it("cuts a request that is not read in time, once", () => {
  const requests = new UnreadRequests({ timeoutMs: 1_000, budgetBytes: 100 });
  const slow = begin(requests);
  vi.advanceTimersByTime(999);
  expect(slow.cut).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  slow.count(1_000);
  expect(slow.cut).toHaveBeenCalledTimes(1);
});

it("leaves one alone that was read, however long it takes then and whatever it sends", () => {
  const requests = new UnreadRequests({ timeoutMs: 1_000, budgetBytes: 100 });
  const stream = begin(requests);
  stream.read();
  stream.count(1_000);
  vi.advanceTimersByTime(100_000);
  expect(stream.cut).not.toHaveBeenCalled();
});

it("cuts the oldest when all together are too much, and goes on with the others", () => {
  const requests = new UnreadRequests({ timeoutMs: 1_000, budgetBytes: 100 });
  const [oldest, older, newest] = [begin(requests), begin(requests), begin(requests)];
  oldest.count(50);
  older.count(50);
  expect(oldest.cut).not.toHaveBeenCalled();
  newest.count(40);
  expect(oldest.cut).toHaveBeenCalledTimes(1);
  newest.count(10);
  expect(older.cut).not.toHaveBeenCalled();
  expect(newest.cut).not.toHaveBeenCalled();
});

it("cuts one that is too much by itself", () => {
  const requests = new UnreadRequests({ timeoutMs: 1_000, budgetBytes: 100 });
  const huge = begin(requests);
  huge.count(101);
  expect(huge.cut).toHaveBeenCalledTimes(1);
});

it("forgets what was sent of those that are read, cut or not, so that the budget is whole again", () => {
  const requests = new UnreadRequests({ timeoutMs: 1_000, budgetBytes: 100 });
  for (let round = 0; round < 10; round += 1) {
    const [first, second, third] = [begin(requests), begin(requests), begin(requests)];
    for (const each of [first, second, third]) each.count(33);
    second.read();
    third.read();
    first.count(60);
    expect(first.cut).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1_100);
    expect([first, second, third].map(({ cut }) => cut.mock.calls.length)).toEqual([1, 0, 0]);
  }
});
