import MsgBox

/// Random datagrams, acknowledgements and timeouts for a loss recovery, which is held against what
/// a plain list of the datagrams in flight says.
struct RecoveryModel {
  private enum Fate { case inFlight, probed, lost, acknowledged }
  private struct Sent {
    var bytes: Int
    var frames: Int
    var fate = Fate.inFlight
  }

  private var recovery: LossRecovery
  private var now = Instant(nanoseconds: 1_000_000_000)
  private var dice: SeededRandom
  private let firstNumber: UInt64
  private var sent: [Sent] = []
  /// Indices of the datagrams in flight, in their order.
  private var inFlight: [Int] = []
  /// The largest index that was ever named as the largest of an acknowledgement.
  private var largest = -1
  private var lostCount: UInt64 = 0
  private(set) var lateCount = 0
  private(set) var probeCount = 0
  private(set) var refusedCount = 0

  init(seed: UInt64, firstNumber: UInt64) {
    dice = SeededRandom(seed: seed)
    self.firstNumber = firstNumber
    recovery = LossRecovery(now: now, firstNumber: firstNumber)
  }

  /// The number of datagrams that were sent, lost and are in flight.
  var counts: (sent: Int, lost: UInt64, inFlight: Int) { (sent.count, lostCount, inFlight.count) }

  /// - Returns: what is wrong, nil if nothing is.
  mutating func step() -> String? {
    now = now + .microseconds(UInt64(dice.below(dice.chance(20) ? 3_000_000 : 20_000)))
    for _ in 0..<dice.below(6) where recovery.maySend(at: now) || dice.chance(20) { send() }
    if dice.chance(300), let wrong = timeout() { return wrong }
    let isWild = dice.chance(20)
    let ranges = isWild ? wildRanges() : ranges()
    if let wrong = acknowledge(ranges) ?? invariants() { return wrong }
    return isWild || index(ranges[0].last) == nil ? nil : leftOver(ranges)
  }

  /// Acknowledges all; then nothing may be left.
  mutating func finish() -> String? {
    let end = UInt32(truncatingIfNeeded: recovery.nextNumber &- 1)
    let start = UInt32(truncatingIfNeeded: firstNumber)
    if let wrong = acknowledge([(start, end)]) ?? invariants() { return wrong }
    guard recovery.outstanding == 0, recovery.bytesInFlight == 0 else { return "something is left" }
    let unknown = sent.firstIndex { $0.fate == .inFlight || $0.fate == .probed }
    return unknown.map { "datagram \($0) has no end" }
  }

  // MARK: Steps

  private mutating func send() {
    let frames = dice.within(1...4)
    for packet in 0..<frames {
      recovery.add(FrameRef(message: UInt32(sent.count), packet: UInt16(packet)))
    }
    let bytes = dice.within(30...1200)
    recovery.sent(bytes: bytes, isLimitedByApplication: dice.chance(300), at: now)
    inFlight.append(sent.count)
    sent.append(Sent(bytes: bytes, frames: frames))
  }

  private mutating func timeout() -> String? {
    let due = recovery.deadline
    if dice.chance(500), let due { now = max(now, due) }
    recovery.timeout(at: now)
    if let due, due <= now, let next = recovery.deadline, next <= now {
      return "due again at once"
    }
    guard recovery.lostCount == lostCount else { return takeLosses() }
    while let frame = recovery.takeLost() {
      let index = Int(frame.message)
      let isFirst = frame.packet == 0
      guard sent[index].fate == (isFirst ? .inFlight : .probed) else { return "probed \(index)" }
      if isFirst { probeCount += 1 }
      sent[index].fate = .probed
    }
    return nil
  }

  private mutating func acknowledge(_ ranges: [(first: UInt32, last: UInt32)]) -> String? {
    guard let last = ranges.first?.last else { return nil }
    let largestIndex = index(last)
    let isTaken = recovery.beginAck(largest: last, delay: .milliseconds(1), at: now)
    guard isTaken == (largestIndex != nil) else { return "the largest is \(last)" }
    guard let largestIndex else {
      refusedCount += 1
      return nil
    }
    largest = max(largest, largestIndex)
    for range in ranges { recovery.acknowledge(first: range.first, last: range.last) }
    recovery.endAck(at: now)
    return takeAcked(ranges) ?? takeLosses()
  }

  // MARK: What random acknowledgements say

  private mutating func ranges() -> [(first: UInt32, last: UInt32)] {
    let newest = UInt32(truncatingIfNeeded: recovery.nextNumber)
    var last = newest &- UInt32(dice.chance(50) ? dice.below(400) : dice.below(12))
    var ranges: [(first: UInt32, last: UInt32)] = []
    for _ in 0..<dice.within(1...5) {
      let first = last &- UInt32(dice.chance(20) ? dice.below(65_536) : dice.below(6))
      ranges.append((first, last))
      last = first &- 2 &- UInt32(dice.chance(20) ? dice.below(65_536) : dice.below(4))
    }
    return ranges
  }

  /// In no order, and of any width.
  private mutating func wildRanges() -> [(first: UInt32, last: UInt32)] {
    let newest = UInt32(truncatingIfNeeded: recovery.nextNumber)
    return (0..<dice.within(1...256)).map { _ in
      let last = dice.chance(500) ? newest &- UInt32(dice.below(50)) : word()
      return (last &- word() >> UInt32(dice.below(32)), last)
    }
  }

  private mutating func word() -> UInt32 { UInt32(truncatingIfNeeded: dice.word()) }

  /// The index of the datagram with these low bits; nil if there is none.
  private func index(_ wire: UInt32) -> Int? {
    let end = UInt32(truncatingIfNeeded: firstNumber) &+ UInt32(sent.count)
    let behind = Int(end &- 1 &- wire)
    return behind < sent.count ? sent.count - 1 - behind : nil
  }

  // MARK: Checks

  private mutating func takeAcked(_ ranges: [(first: UInt32, last: UInt32)]) -> String? {
    var left = 0
    while let frame = recovery.takeAcked() {
      let index = Int(frame.message)
      let number = UInt32(truncatingIfNeeded: firstNumber) &+ frame.message
      guard Self.contain(ranges, number) else { return "\(index) was not acknowledged" }
      if left == 0 {
        guard frame.packet == 0, sent[index].fate != .acknowledged else {
          return "\(index) is acknowledged again"
        }
        if sent[index].fate == .lost { lateCount += 1 }
        sent[index].fate = .acknowledged
        inFlight.removeAll { $0 == index }
        left = sent[index].frames
      }
      left -= 1
    }
    return left == 0 ? nil : "frames are missing"
  }

  /// A datagram that was acknowledged and is in flight yet.
  private func leftOver(_ ranges: [(first: UInt32, last: UInt32)]) -> String? {
    let start = UInt32(truncatingIfNeeded: firstNumber)
    let left = inFlight.first { Self.contain(ranges, start &+ UInt32($0)) }
    return left.map { "\($0) is still in flight" }
  }

  private static func contain(_ ranges: [(first: UInt32, last: UInt32)], _ number: UInt32) -> Bool {
    ranges.contains { number &- $0.first <= $0.last &- $0.first }
  }

  /// Losses are the oldest in flight; those not probed give their frames. The largest number of an
  /// acknowledgement can be lost if no range of it has that number.
  private mutating func takeLosses() -> String? {
    while lostCount < recovery.lostCount {
      lostCount += 1
      guard let index = inFlight.first, index <= largest else { return "lost without reason" }
      inFlight.removeFirst()
      let isProbed = sent[index].fate == .probed
      sent[index].fate = .lost
      for packet in 0..<(isProbed ? 0 : sent[index].frames) {
        let frame = FrameRef(message: UInt32(index), packet: UInt16(packet))
        guard recovery.takeLost() == frame else { return "\(index) is not given back" }
      }
    }
    return recovery.takeLost() == nil ? nil : "too much is given back"
  }

  private func invariants() -> String? {
    let bytes = inFlight.reduce(0) { $0 + sent[$1].bytes }
    guard recovery.bytesInFlight == bytes else { return "\(recovery.bytesInFlight) != \(bytes)" }
    guard recovery.outstanding == inFlight.count else { return "outstanding" }
    guard recovery.remembered <= inFlight.count + LossRecovery.rememberedMost + 8 else {
      return "\(recovery.remembered) remembered"
    }
    guard recovery.window >= NewReno.leastWindow else { return "window \(recovery.window)" }
    guard (recovery.deadline == nil) == inFlight.isEmpty else { return "deadline" }
    if let oldest = inFlight.first, oldest + 3 <= largest { return "\(oldest) is not found lost" }
    return nil
  }
}

extension Interval {
  static func microseconds(_ count: UInt64) -> Interval { Interval(nanoseconds: count * 1000) }
}
