/// What an acknowledgement has told so far.
struct AckInProgress: Sendable {
  var largest: UInt64 = 0
  var delay = Interval(nanoseconds: 0)
  /// Ranges of this acknowledgement are below it: they come newest first.
  var below: UInt64 = 0
  /// When the largest number was sent, if it is acknowledged for the first time.
  var largestSentAt: Instant?
  /// Bytes that let the window grow.
  var bytes = 0
  var isNew = false
  var now = Instant(nanoseconds: 0)
}

extension LossRecovery {
  /// Begins an acknowledgement; its ranges, newest first and the first one ending with `largest`,
  /// and `endAck` follow.
  /// - Parameters:
  ///   - largest: the largest number that it acknowledges, from the wire.
  ///   - delay: how long the peer says that it held the acknowledgement of it back.
  /// - Returns: whether `largest` was sent. If not, the acknowledgement is forged or astray, and
  ///   neither its ranges nor `endAck` may follow.
  package mutating func beginAck(largest: UInt32, delay: Interval, at now: Instant) -> Bool {
    guard let number = expand(largest) else { return false }
    ack = AckInProgress(largest: number, delay: delay, below: number &+ 1, now: now)
    return true
  }

  /// Acknowledges the numbers `first ... last`, from the wire. What was never sent, is not
  /// remembered or is not below the ranges before it is ignored.
  package mutating func acknowledge(first: UInt32, last: UInt32) {
    // The end is cut and not refused, so that it may be a number that is remembered no more.
    let width = UInt64(last &- first)
    guard width < 1 << 31, let lastNumber = expand(last) else { return }
    let firstNumber = lastNumber - min(width, lastNumber)
    let lower = max(firstNumber, datagrams.base)
    let upper = min(lastNumber &+ 1, ack.below)
    ack.below = min(ack.below, firstNumber)
    guard lower < upper else { return }
    for number in lower..<upper { acknowledge(number) }
  }

  /// Ends an acknowledgement: the round trip, the losses that it shows, and the window. The frames
  /// are then taken with `takeAcked` and `takeLost`.
  package mutating func endAck(at now: Instant) {
    acknowledgedEnd = max(acknowledgedEnd, ack.largest &+ 1)
    if let sentAt = ack.largestSentAt {
      roundTrip.sample(now.since(sentAt), ackDelay: ack.delay)
      if firstSampled == nil { firstSampled = nextNumber }
    }
    let growth = windowWasUsed ? ack.bytes : 0
    let isReduced = detectLosses(at: now)
    if growth > 0, !isReduced { newReno.acknowledge(growth) }
    if ack.isNew {
      probeCount = 0
      probesOwed = 0
    }
    ack = AckInProgress()
    forget(at: now)
  }

  /// A datagram that was found lost and is acknowledged after all still brings its frames.
  private mutating func acknowledge(_ number: UInt64) {
    let datagram = datagrams[number]
    guard datagram.state != .acknowledged else { return }
    if datagram.isOutstanding {
      if number == ack.largest, number >= pathStart { ack.largestSentAt = datagram.time }
      if number >= newReno.recoveryEnd { ack.bytes += Int(datagram.bytes) }
    } else {
      lostRun = nil
    }
    ack.isNew = true
    datagrams.settle(number, as: .acknowledged, at: ack.now)
    for index in 0..<Int(datagram.frameCount) {
      acked.append(datagrams.frame(index, of: datagram))
    }
  }
}
