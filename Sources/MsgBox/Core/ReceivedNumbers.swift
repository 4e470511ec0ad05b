/// The numbers of the datagrams of a session that are to be acknowledged, as they were received:
/// what drops copies, and what acks are made from (after RFC 9000 13.2).
///
/// Numbers are 32 bits on the wire and 64 here, expanded towards the largest one received. At most
/// 256 ranges are kept; what lies below the oldest that is kept counts as received before, because
/// nobody could tell any more.
package struct ReceivedNumbers {
  private struct Run {
    var first: UInt64
    var last: UInt64
    /// How many acks have named it since it last grew.
    var tellings: UInt8 = 0
  }

  /// A range that did not grow since is left out of later acks: with a loss that is never filled,
  /// every ack would else carry all the ranges of the session. Its sender has learned of it unless
  /// as many acks in a row were lost, and then sends again what its numbers carried.
  package static let maxTellings: UInt8 = 32

  /// The newest last, with at least one missing number between two.
  private var runs: [Run] = []
  /// Ranges that acks still name.
  private var untold = 0
  /// Below it everything counts as received.
  private var floor: UInt64 = 0
  /// When the largest number was received; zero before the first.
  package private(set) var largestAt = Instant(nanoseconds: 0)
  /// Datagrams received since the last ack.
  package private(set) var unacknowledged = 0

  package init() {}

  package var owesAck: Bool { unacknowledged > 0 }

  /// The largest number received; nil before the first.
  package var largest: UInt32? { runs.last.map { UInt32(truncatingIfNeeded: $0.last) } }

  /// Ranges that are kept.
  package var rangeCount: Int { runs.count }

  /// Whether `insert` would find the number known, and so its datagram a copy.
  package func contains(_ number: UInt32) -> Bool {
    guard let wide = expand(number), wide >= floor else { return true }
    guard let newest = runs.last else { return false }
    if wide > newest.last { return false }
    let index = index(atOrBelow: wide)
    return index < 0 ? isTooOld(wide) : wide <= runs[index].last
  }

  /// Notes a datagram that was received; false, and nothing changes, if it was before.
  package mutating func insert(_ number: UInt32, at now: Instant) -> Bool {
    let last = runs.count - 1
    if last >= 0, number == UInt32(truncatingIfNeeded: runs[last].last &+ 1) {
      runs[last].last += 1
      touch(last)
      largestAt = now
      unacknowledged += 1
      return true
    }
    guard let wide = expand(number), wide >= floor else { return false }
    if last < 0 || wide > runs[last].last {
      insertRun(wide, at: runs.count)
      largestAt = now
    } else if !fill(wide) {
      return false
    }
    unacknowledged += 1
    return true
  }

  /// How many ranges `takeAck` gives.
  package var rangesToTell: Int { max(untold, 1) }

  /// What an ack says now: the largest number received, how long ago that was, and the ranges,
  /// newest first, in place of what `ranges` held; both ends belong to a range. Nothing is owed
  /// then. Nil before the first number.
  ///
  /// There is always the newest. No range is longer than 65536 numbers, the older end is left out then, and none reaches
  /// 2^31 back.
  package mutating func takeAck(
    at now: Instant, into ranges: inout [(first: UInt32, last: UInt32)]
  ) -> (largest: UInt32, delay: Interval)? {
    ranges.removeAll(keepingCapacity: true)
    unacknowledged = 0
    guard let newest = runs.last?.last else { return nil }
    var left = untold
    var index = runs.count - 1
    while index >= 0, ranges.isEmpty || left > 0,
      newest - runs[index].last < 1 << 31
    {
      if runs[index].tellings < ReceivedNumbers.maxTellings {
        left -= 1
        tell(index)
        ranges.append(ReceivedNumbers.named(runs[index]))
      } else if ranges.isEmpty {
        ranges.append(ReceivedNumbers.named(runs[index]))
      }
      index -= 1
    }
    return (UInt32(truncatingIfNeeded: newest), now.since(largestAt))
  }

  private static func named(_ run: Run) -> (first: UInt32, last: UInt32) {
    let first = max(run.first, run.last - min(run.last, 65535))
    return (UInt32(truncatingIfNeeded: first), UInt32(truncatingIfNeeded: run.last))
  }

  /// Counts that an ack names the range.
  private mutating func tell(_ index: Int) {
    runs[index].tellings += 1
    if runs[index].tellings == ReceivedNumbers.maxTellings { untold -= 1 }
  }

  /// A range has grown: acks name it again.
  private mutating func touch(_ index: Int) {
    if runs[index].tellings >= ReceivedNumbers.maxTellings { untold += 1 }
    runs[index].tellings = 0
  }

  /// The number with the 32 low bits of `number` that is next to the largest; nil if it would lie
  /// before the first of the session, which is never sent.
  private func expand(_ number: UInt32) -> UInt64? {
    guard let newest = runs.last?.last else { return UInt64(number) }
    let distance = Int32(bitPattern: number &- UInt32(truncatingIfNeeded: newest))
    if distance >= 0 { return newest &+ UInt64(distance) }
    let back = UInt64(distance.magnitude)
    return back <= newest ? newest - back : nil
  }

  /// The newest range that begins at `wide` or below; -1 if there is none. Mostly one of the last.
  private func index(atOrBelow wide: UInt64) -> Int {
    var index = runs.count - 1
    while index >= 0, runs[index].first > wide { index -= 1 }
    return index
  }

  /// Whether a number below all ranges would be forgotten at once.
  private func isTooOld(_ wide: UInt64) -> Bool {
    runs.count >= WireFormat.maxAckRanges && wide &+ 1 < runs[0].first
  }

  /// Notes a number that is not above the largest; false if it is known.
  private mutating func fill(_ wide: UInt64) -> Bool {
    let below = index(atOrBelow: wide)
    if below >= 0, wide <= runs[below].last { return false }
    if below < 0, isTooOld(wide) { return false }
    let growsLower = below >= 0 && runs[below].last + 1 == wide
    let growsUpper = below + 1 < runs.count && runs[below + 1].first == wide + 1
    if growsLower, growsUpper {
      runs[below].last = runs[below + 1].last
      removeRun(at: below + 1)
      touch(below)
    } else if growsLower {
      runs[below].last = wide
      touch(below)
    } else if growsUpper {
      runs[below + 1].first = wide
      touch(below + 1)
    } else {
      insertRun(wide, at: below + 1)
    }
    return true
  }

  private mutating func insertRun(_ wide: UInt64, at index: Int) {
    runs.insert(Run(first: wide, last: wide), at: index)
    untold += 1
    guard runs.count > WireFormat.maxAckRanges else { return }
    floor = runs[0].last + 1
    removeRun(at: 0)
  }

  private mutating func removeRun(at index: Int) {
    if runs[index].tellings < ReceivedNumbers.maxTellings { untold -= 1 }
    runs.remove(at: index)
  }
}
