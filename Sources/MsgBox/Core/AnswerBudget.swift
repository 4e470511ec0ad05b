/// How many answers strangers may get: a token bucket per source prefix and one for all.
///
/// The buckets of prefixes are a table of fixed size that is indexed by a keyed hash, so that no
/// number of forged sources makes it grow; prefixes that share a place share a budget.
package struct AnswerBudget: Sendable {
  package static let perPrefix: UInt64 = 100
  package static let overall: UInt64 = 1000
  private static let places = 1024

  private struct Bucket {
    /// Nanoseconds of credit; one answer costs a second divided by the rate.
    var credit: UInt64 = 1_000_000_000
    var filled = Instant(nanoseconds: 0)

    mutating func refill(at now: Instant) {
      credit = min(1_000_000_000, credit &+ min(now.since(filled).nanoseconds, 1_000_000_000))
      filled = now
    }
  }

  private var buckets: [Bucket] = []
  private var all = Bucket()
  private let key: UInt64

  package init(key: UInt64) {
    self.key = key
  }

  /// Whether one more answer may go to `ip`; if so it is paid for.
  package mutating func spend(on ip: IPAddress, at now: Instant) -> Bool {
    if buckets.isEmpty { buckets = Array(repeating: Bucket(), count: AnswerBudget.places) }
    let place = place(of: ip.sourcePrefix)
    all.refill(at: now)
    buckets[place].refill(at: now)
    let cost = 1_000_000_000 / AnswerBudget.perPrefix
    let costOfAll = 1_000_000_000 / AnswerBudget.overall
    guard buckets[place].credit >= cost, all.credit >= costOfAll else { return false }
    buckets[place].credit -= cost
    all.credit -= costOfAll
    return true
  }

  private func place(of prefix: UInt64) -> Int {
    var mixed = (prefix ^ key) &* 0x9e37_79b9_7f4a_7c15
    mixed = (mixed ^ mixed >> 32) &* (key | 1)
    return Int(truncatingIfNeeded: mixed >> 54)
  }
}
