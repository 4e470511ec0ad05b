/// How many cookies the source prefixes get: each so many a second, so that a flood from some
/// prefixes leaves the time and the room for answers to all others.
///
/// A sketch of fixed size (Cormode and Muthukrishnan, 2005): a prefix has two cells, and has used up
/// what it may when both say so. It begins anew each second under another key, so who shares both
/// cells with a flood does so for that second alone.
package struct CookieBudget {
  /// A second.
  package static let perPrefix: UInt16 = 256
  private static let span = Interval.seconds(1)
  private static let size = 65_536

  private var cells: [UInt16] = []
  private var hash = KeyedHash(key: 0)
  private var began = Instant(nanoseconds: 0)

  package init() {}

  /// Whether one more cookie may go to `ip`; if so it is counted.
  package mutating func spend(on ip: IPAddress, at now: Instant, random: inout RandomSource) -> Bool
  {
    if cells.isEmpty || now.since(began) >= CookieBudget.span {
      cells = Array(repeating: 0, count: CookieBudget.size)
      hash = KeyedHash(key: random.word())
      began = now
    }
    let word = hash.adding(ip.sourcePrefix).value
    let first = Int(truncatingIfNeeded: word & 0xffff)
    let second = Int(truncatingIfNeeded: word >> 16 & 0xffff)
    guard min(cells[first], cells[second]) < CookieBudget.perPrefix else { return false }
    cells[first] = min(cells[first] &+ 1, CookieBudget.perPrefix)
    cells[second] = min(cells[second] &+ 1, CookieBudget.perPrefix)
    return true
  }
}
