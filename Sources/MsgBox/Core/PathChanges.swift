/// A session that was heard of from another address than its peer's, until it is known whether the
/// peer has moved there.
///
/// Both addresses are asked for a sign. The peer has moved if the new one gives it and the old one
/// does not in its time: who has only copied a packet of the session cannot answer, and who sees all
/// of them and can answer does not silence the peer itself.
struct PathChange {
  /// So long the old address has to answer, or three round trips if that is longer.
  static let leastPatience = Interval.seconds(1)
  static let mostPatience = Interval.seconds(3)
  /// So long the new one has, from when the old one's time is over.
  static let grace = Interval.seconds(2)
  /// The time between two challenges.
  static let gap = Interval.milliseconds(333)
  /// The time between two looks whether all is read that came before a decision.
  static let lookGap = Interval.milliseconds(20)
  /// Of the bytes that came from an address that is not proven, so many times as much may go there
  /// (RFC 9000 section 8.1).
  static let mostAnswer = 3
  static let challengeSize = PacketHeader.size + WireFormat.sessionSize + 8

  /// Where the peer may be.
  let source: DatagramSource
  /// What the new address proves itself by, and the old one.
  let newToken: UInt64
  let oldToken: UInt64
  /// How long the old address has for its answer.
  let patience: Interval
  /// When the turn in which both were asked was over; nil before. A program that is slow in its turn
  /// takes nothing from the time of the old address.
  var askedAt: Instant?
  /// Bytes from the new address, and to it.
  var received = 0
  var sent = 0
  /// Challenges that went there, and when the last one did.
  var challenges = 0
  var challengedAt: Instant
  var isProven = false
  /// The peer is still where it was.
  var isRefused = false
  /// The round trip to the new address, if it is known.
  var roundTrip: Interval?
  var timer = TimerID.none

  /// When the old address has had its time; nil if that has not begun.
  var decides: Instant? { askedAt.map { $0 + patience } }

  /// When it is given up.
  var ends: Instant? { decides.map { $0 + PathChange.grace } }

  func isDecided(at time: Instant) -> Bool { decides.map { time >= $0 } ?? false }

  func isOver(at time: Instant) -> Bool { ends.map { time >= $0 } ?? false }

  /// Whether one more challenge may go to the new address.
  var mayChallenge: Bool {
    sent + PathChange.challengeSize <= received * PathChange.mostAnswer
  }

  mutating func proved(at now: Instant) {
    guard !isProven else { return }
    isProven = true
    // Of several challenges it is not known which one was answered.
    if challenges == 1 { roundTrip = now.since(challengedAt) }
  }
}

/// The changes of address that are at hand, by the slots of their connections: one of each at most.
struct PathChanges {
  private var changes: [Int: PathChange] = [:]
  /// Those whose addresses are asked in this turn.
  private var asking: [Int] = []

  var isEmpty: Bool { changes.isEmpty }
  var count: Int { changes.count }

  subscript(slot: Int) -> PathChange? {
    get { changes.isEmpty ? nil : changes[slot] }
    set {
      changes[slot] = newValue
      // The memory of many goes with the last one.
      if changes.isEmpty { changes = [:] }
    }
  }

  mutating func begin(_ change: PathChange, _ slot: Int) {
    self[slot] = change
    asking.append(slot)
  }

  /// What was asked before is on its way.
  @inline(__always)
  mutating func sentAll(at now: Instant) {
    if !asking.isEmpty { startPatience(at: now) }
  }

  @inline(never)
  private mutating func startPatience(at now: Instant) {
    for slot in asking where changes[slot]?.askedAt == nil { changes[slot]?.askedAt = now }
    asking = []
  }
}
