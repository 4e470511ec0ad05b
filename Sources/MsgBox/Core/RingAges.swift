/// How long ago a ring left each of its quarters, so that one that comes around too soon can be
/// doubled before it overwrites what is still wanted. The least bookkeeping that tells: four
/// instants, whatever the size.
struct RingAges {
  /// What is younger must not be overwritten while the ring may grow.
  static let lifetime = Interval.seconds(10)

  /// By the number of the quarter modulo 4.
  private var leftAt: InlineArray<4, Instant> = .init(repeating: Instant(nanoseconds: 0))
  private var isLeft: InlineArray<4, Bool> = .init(repeating: false)

  /// Whether entering the `count` quarters behind `quarter` overwrites what is younger than
  /// `lifetime`.
  func overwritesYoung(from quarter: UInt64, entering count: UInt64, at now: Instant) -> Bool {
    if count >= 4 { return true }
    var step: UInt64 = 1
    while step <= count {
      let slot = RingAges.slot(quarter &+ step)
      if isLeft[slot], now.since(leftAt[slot]) < RingAges.lifetime { return true }
      step += 1
    }
    return false
  }

  /// The ring leaves `quarter` and enters the `count` quarters behind it.
  mutating func enter(_ count: UInt64, from quarter: UInt64, at now: Instant) {
    var step: UInt64 = 0
    while step < min(count, 4) {
      let slot = RingAges.slot(quarter &+ step)
      leftAt[slot] = now
      isLeft[slot] = true
      step += 1
    }
  }

  /// The ring is doubled while it is in `quarter`, so that each two quarters become one. What is
  /// left of the quarter that it was overwriting was old when that began.
  mutating func double(in quarter: UInt64) {
    var doubled = RingAges()
    var back: UInt64 = 3
    while back >= 1 {
      let old = quarter &- back
      // Of two that become one, the younger comes last.
      if isLeft[RingAges.slot(old)] {
        doubled.leftAt[RingAges.slot(old >> 1)] = leftAt[RingAges.slot(old)]
        doubled.isLeft[RingAges.slot(old >> 1)] = true
      }
      back -= 1
    }
    self = doubled
  }

  private static func slot(_ quarter: UInt64) -> Int { Int(truncatingIfNeeded: quarter & 3) }
}
