import MsgBox

/// A sender of numbered datagrams, each with one frame whose message is counted from 0.
final class RecoveryFlow {
  var recovery: LossRecovery
  var now: Instant
  private var nextMessage: UInt32 = 0
  private let start: Instant

  /// - Parameter roundTrip: what the path was measured to take, without variation, in milliseconds.
  init(firstNumber: UInt64 = 0, roundTrip: UInt64? = nil) {
    now = Instant(nanoseconds: 1_000_000_000)
    start = now
    recovery = LossRecovery(now: now, firstNumber: firstNumber)
    guard let roundTrip else { return }
    for _ in 0..<100 { recovery.sampleRoundTrip(.milliseconds(roundTrip)) }
  }

  /// Goes to `time` milliseconds after the beginning.
  func go(to time: UInt64) { now = start + .milliseconds(time) }

  /// Microseconds from the beginning to `instant`.
  func microseconds(_ instant: Instant?) -> UInt64? {
    instant.map { $0.since(start).nanoseconds / 1000 }
  }

  var deadline: UInt64? { microseconds(recovery.deadline) }

  func send(_ count: Int = 1, bytes: Int = 1200, isLimited: Bool = false) {
    for _ in 0..<count {
      recovery.add(FrameRef(message: nextMessage, packet: 0))
      nextMessage += 1
      recovery.sent(bytes: bytes, isLimitedByApplication: isLimited, at: now)
    }
  }

  /// Sends as long as it may.
  func sendAll(bytes: Int = 1200) -> Int {
    var count = 0
    while recovery.maySend(at: now), count < 100_000 {
      send(bytes: bytes)
      count += 1
    }
    return count
  }

  /// Acknowledges ranges of numbers, newest first; false if they are refused.
  @discardableResult
  func ack(_ ranges: ClosedRange<UInt32>..., delay: UInt64 = 0) -> Bool {
    guard let largest = ranges.first?.upperBound,
      recovery.beginAck(largest: largest, delay: .milliseconds(delay), at: now)
    else { return false }
    for range in ranges { recovery.acknowledge(first: range.lowerBound, last: range.upperBound) }
    recovery.endAck(at: now)
    return true
  }

  func timeout() { recovery.timeout(at: now) }

  /// The messages that were acknowledged since this was last asked.
  func acked() -> [UInt32] {
    var messages: [UInt32] = []
    while let frame = recovery.takeAcked() { messages.append(frame.message) }
    return messages
  }

  /// The messages that are to be sent again.
  func lost() -> [UInt32] {
    var messages: [UInt32] = []
    while let frame = recovery.takeLost() { messages.append(frame.message) }
    return messages
  }
}
