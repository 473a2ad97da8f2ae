const argon2 = /^\$argon2id\$v=19\$m=(\d{1,6}),t=(\d{1,2}),p=(\d)\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$/;
const bcrypt = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;

/** Whether a hash of another system's can be checked here: of a kind that is known, and not so costly that a login is an attack. */
export function isAcceptableHash(hash: string): boolean {
  const [, memory, passes, lanes] = argon2.exec(hash) ?? [];
  if (memory !== undefined && passes !== undefined && lanes !== undefined)
    return isWithin(memory, 8, 65_536) && isWithin(passes, 1, 10) && isWithin(lanes, 1, 4);
  const [, cost] = bcrypt.exec(hash) ?? [];
  return cost !== undefined && isWithin(cost, 4, 14);
}

function isWithin(digits: string, least: number, most: number): boolean {
  return Number(digits) >= least && Number(digits) <= most;
}
