/// Loss recovery and congestion control of the numbered datagrams of one connection, one direction:
/// RFC 9002, as a value that is told the time.
///
/// Numbers have 64 bits here; on the wire they are their low 32 bits, and are read as the number
/// with these that is nearest to the newest one sent.
///
/// Cost: an acknowledgement costs at most the datagrams that are remembered and its ranges. What is
/// remembered is outstanding, or is newer than something outstanding, or is at most
/// `rememberedMost` more (see `forget`); a range is cut to it before it is walked, and each number
/// is walked at most once for one acknowledgement, because a range must be below those before it.
/// The search for losses begins at the oldest outstanding datagram and ends at the first that is
/// not lost, so in all it passes each datagram once.
package struct LossRecovery {
  /// A datagram is lost if one that was sent so many later was acknowledged: RFC 9002, section
  /// 6.1.1.
  package static let packetThreshold: UInt64 = 3
  /// Backoff ends here, unless the probe timeout itself is longer: the connection's own limit of
  /// silence ends it.
  package static let longestBackoff = Interval.seconds(2)
  /// Settled datagrams that are remembered beyond those outstanding.
  package static let rememberedMost = 256

  package internal(set) var roundTrip = RoundTrip()
  /// Numbered datagrams that were sent.
  package internal(set) var sentCount: UInt64 = 0
  /// Those of them that were found lost, rightly or not.
  package internal(set) var lostCount: UInt64 = 0
  /// Datagrams that are owed to a probe timeout: they go whatever the window and the pacer say, and
  /// if there is nothing to send, then with nothing but their numbers.
  package internal(set) var probesOwed = 0

  var datagrams: SentDatagrams
  var newReno = NewReno()
  var pacer: Pacer
  private let firstNumber: UInt64
  /// Every datagram below it is settled.
  var oldestOutstanding: UInt64
  /// The number behind the largest one that was acknowledged; `firstNumber` if none was.
  var acknowledgedEnd: UInt64
  /// Datagrams from here on were sent when there was a round trip sample.
  var firstSampled: UInt64?
  /// Numbers below it were sent to another address of the peer, and tell nothing of this path.
  var pathStart: UInt64 = 0
  /// When the oldest outstanding datagram below `acknowledgedEnd` is lost by its age.
  var lossTime: Instant?
  /// Probe timeouts since something was last acknowledged.
  var probeCount: UInt64 = 0
  /// When the probe timeout began to run.
  var probeBase: Instant
  /// Bytes in flight after the newest datagram, to see whether the window was used.
  private var flightAtLastSent = 0
  private var isLimitedByApplication = false
  /// The newest run of lost datagrams, for persistent congestion.
  var lostRun: LostRun?
  var ack = AckInProgress()
  var acked = Ring<FrameRef>()
  var lost = Ring<FrameRef>()

  /// - Parameter firstNumber: the number of the first datagram, 0 but in tests.
  package init(now: Instant, firstNumber: UInt64 = 0) {
    datagrams = SentDatagrams(firstNumber: firstNumber)
    pacer = Pacer(now: now)
    probeBase = now
    self.firstNumber = firstNumber
    oldestOutstanding = firstNumber
    acknowledgedEnd = firstNumber
  }

  // MARK: State

  /// The number that the next datagram gets; on the wire its low 32 bits.
  package var nextNumber: UInt64 { datagrams.end }

  /// Datagrams that are neither acknowledged nor lost.
  package var outstanding: Int { datagrams.outstanding }

  /// Datagrams that are remembered: those outstanding and some that are settled.
  package var remembered: Int { datagrams.count }

  /// Bytes of the outstanding datagrams.
  package var bytesInFlight: Int { datagrams.bytesInFlight }

  /// The congestion window, in bytes.
  package var window: Int { newReno.window }

  /// Takes in a round trip that was measured otherwise, by the handshake or by a challenge of the
  /// path.
  package mutating func sampleRoundTrip(_ time: Interval) {
    roundTrip.sample(time)
    if firstSampled == nil { firstSampled = nextNumber }
  }

  // MARK: Sending

  /// Whether the window and the pacer let a datagram of full size go now, or a probe is owed.
  @inline(__always)
  package func maySend(at now: Instant) -> Bool {
    probesOwed > 0 || (windowIsOpen && paced(at: now))
  }

  /// When the pacer lets a datagram go that the window would let go; nil if it holds nothing back.
  @inline(__always)
  package func pacedUntil(at now: Instant) -> Instant? {
    guard probesOwed == 0, windowIsOpen, !paced(at: now) else { return nil }
    return pacer.opens(window: window, smoothed: roundTrip.smoothed)
  }

  /// Adds a frame to the datagram that `sent` closes; at most 255 of them.
  package mutating func add(_ frame: FrameRef) {
    datagrams.add(frame)
  }

  /// Closes the datagram of the frames that were added, under the number `nextNumber`.
  /// - Parameters:
  ///   - bytes: the size of the datagram.
  ///   - isLimitedByApplication: whether nothing more waits to be sent that the window or the pacer
  ///     could hold back. While it is so the window does not grow (RFC 9002, section 7.8).
  package mutating func sent(bytes: Int, isLimitedByApplication: Bool, at now: Instant) {
    datagrams.close(bytes: bytes, at: now)
    // Until there is a sample there is no rate, and the initial window is what limits.
    if roundTrip.isSampled {
      pacer.sent(bytes, at: now, window: window, smoothed: roundTrip.smoothed)
    }
    self.isLimitedByApplication = isLimitedByApplication
    flightAtLastSent = bytesInFlight
    probesOwed = max(probesOwed - 1, 0)
    probeBase = now
    sentCount &+= 1
  }

  @inline(__always)
  private var windowIsOpen: Bool { bytesInFlight <= window - NewReno.datagram }

  @inline(__always)
  private func paced(at now: Instant) -> Bool {
    pacer.allows(at: now, window: window, smoothed: roundTrip.smoothed)
  }

  /// Whether it was the window that limited what was sent. A window of more than twice what was in
  /// flight was not, whatever the caller says.
  var windowWasUsed: Bool { !isLimitedByApplication && window / 2 <= flightAtLastSent }

  // MARK: Results

  /// A frame of a datagram that was acknowledged, in the order of sending; nil when all were taken.
  /// A frame that was sent again may come more than once.
  package mutating func takeAcked() -> FrameRef? {
    acked.popFirst()
  }

  /// Whether `takeLost` has something.
  package var hasLost: Bool { !lost.isEmpty }

  /// A frame that is to be sent again, because its datagram was lost or for a probe, in the order of
  /// sending; nil when all were taken.
  package mutating func takeLost() -> FrameRef? {
    lost.popFirst()
  }

  // MARK: Numbers

  /// The number of a datagram that was sent and has these low bits; nil if there is none near.
  func expand(_ wire: UInt32) -> UInt64? {
    let behind = UInt32(truncatingIfNeeded: nextNumber &- 1) &- wire
    guard nextNumber > firstNumber, behind < 1 << 31 else { return nil }
    let (number, isNegative) = (nextNumber - 1).subtractingReportingOverflow(UInt64(behind))
    return isNegative || number < firstNumber ? nil : number
  }
}
