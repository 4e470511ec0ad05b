import CMsgBox

/// Counters of a box since it was made, and what it holds at a moment.
public struct Statistics: Sendable {
  /// What the core has counted.
  package let counters: Counters
  /// What the core holds.
  package let census: Census

  /// Makes the public view of both.
  package init(_ counters: Counters, _ census: Census) {
    self.counters = counters
    self.census = census
  }

  /// Datagrams of UDP, also those that were dropped.
  public var datagramsReceived: UInt64 { counters.datagramsReceived }
  /// Datagrams of UDP.
  public var datagramsSent: UInt64 { counters.datagramsSent }
  /// On both transports, with headers, without those of IP.
  public var bytesReceived: UInt64 { counters.bytesReceived }
  /// On both transports, with headers, without those of IP.
  public var bytesSent: UInt64 { counters.bytesSent }
  /// One-way messages, requests and replies.
  public var messagesReceived: UInt64 { counters.messagesReceived }
  /// One-way messages, requests and replies.
  public var messagesSent: UInt64 { counters.messagesSent }
  /// Heartbeats of peers, on both transports.
  public var heartbeatsReceived: UInt64 { counters.heartbeatsReceived }
  /// Heartbeats of this box, on both transports.
  public var heartbeatsSent: UInt64 { counters.heartbeatsSent }
  /// Drops of all reasons.
  public var drops: UInt64 { counters.allDrops }
  /// Connections in being, handshakes included.
  public var connections: Int { census.connections }
  /// Listeners in being.
  public var listeners: Int { census.listeners }
  /// Peers that were accepted and have not been heard of since.
  public var pendingHellos: Int { census.pendingHellos }
  /// Ended sessions that are remembered, so that late packets do not bring them back.
  public var tombstones: Int { census.tombstones }
  /// Gets that have neither reply nor time-out yet.
  public var getsWaiting: Int { census.getsWaiting }
  /// Requests that may still be answered.
  public var requestsOpen: Int { census.requestsOpen }
  /// Messages accepted and not given to the system or, if reliable, not acknowledged.
  public var queuedMessages: Int { census.queuedMessages }
  /// Bytes of the messages that are queued.
  public var queuedBytes: Int { census.queuedBytes }
  /// Bytes held of messages that are incomplete, or wait for others before them.
  public var incompleteBytes: Int { census.incompleteBytes }

  /// How much was dropped for one reason.
  public func dropped(_ reason: Drop) -> UInt64 {
    counters.drops[Int(reason.rawValue)]
  }
}

extension Statistics {
  /// Why something was dropped. The numbers are those of `msgbox.h`; more may be added.
  public enum Drop: UInt8, CaseIterable, Sendable {
    /// Shorter than its header says.
    case short = 0
    /// Does not begin with the two bits of this protocol.
    case notMsgBox = 1
    /// Another version of the protocol.
    case version = 2
    /// An unknown kind.
    case kind = 3
    /// Fields that contradict each other.
    case malformed = 4
    /// An option that must be understood and is not.
    case option = 5
    /// A fragment that cannot be placed.
    case fragment = 6
    /// No session, and neither hello nor implicit.
    case noSession = 7
    /// A session that is not known here.
    case unknownSession = 8
    /// A known session from another address.
    case wrongPath = 9
    /// Late for a session that has ended.
    case tombstone = 10
    /// A close that ends nothing here.
    case staleClose = 11
    /// An accept that nobody waits for.
    case staleAccept = 12
    /// A reply to no waiting get: late, second or forged.
    case staleReply = 13
    /// A path response to no challenge.
    case staleResponse = 14
    /// A hello while too many are pending.
    case pendingFull = 15
    /// A hello above the limit of connections.
    case connectionsFull = 16
    /// A request above the limit of open requests.
    case requestsFull = 17
    /// An answer to a stranger above the budget.
    case answerBudget = 18
    /// A message above the largest accepted.
    case tooBig = 19
    /// Queued for a connection that has ended.
    case ended = 20
    /// Refused by the system when sending.
    case sendFailed = 21
    /// Received faster than the program takes it.
    case receiveMark = 22
    /// A datagram larger than any of this protocol.
    case truncated = 23
    /// A copy of what was received already.
    case duplicate = 24
    /// A message whose packets did not all come in time.
    case incomplete = 25
    /// No memory left for incomplete messages.
    case memory = 26
    /// An acknowledgement of what was never sent.
    case staleAck = 27
    /// Not on the wire before its deadline.
    case expired = 28
    /// A newer message with the same key took its place.
    case superseded = 29
    /// Above the limit of connections of one source prefix.
    case prefixFull = 30
  }
}

#if !hasFeature(Embedded)
  extension Statistics.Drop {
    /// A few words for people.
    public var text: String {
      guard let text = unsafe msg_drop_text(UInt32(rawValue)) else { return "unknown" }
      return unsafe String(cString: text)
    }
  }
#endif

/// What a connection counts, and what it holds at a moment.
public struct ConnectionStatistics: Equatable, Sendable {
  /// What the core has counted.
  package let counters: ConnectionCounters

  /// Makes the public view.
  package init(_ counters: ConnectionCounters) {
    self.counters = counters
  }

  /// One-way messages, requests and replies.
  public var messagesReceived: UInt64 { counters.messagesReceived }
  /// One-way messages, requests and replies.
  public var messagesSent: UInt64 { counters.messagesSent }
  /// Bytes of messages, without headers.
  public var bytesReceived: UInt64 { counters.bytesReceived }
  /// Bytes of messages, without headers.
  public var bytesSent: UInt64 { counters.bytesSent }
  /// Messages accepted and not given to the system or, if reliable, not acknowledged.
  public var queuedMessages: Int { counters.queuedMessages }
  /// Bytes of the messages that are queued.
  public var queuedBytes: Int { counters.queuedBytes }
  /// Gets that have neither reply nor time-out yet.
  public var getsWaiting: Int { counters.getsWaiting }
  /// Time since something was heard from the peer.
  public var silence: Duration { counters.silence.duration }

  /// Smoothed round-trip time (RFC 6298), over TCP as the system measures it; nil while not known.
  public var roundTrip: Duration? { counters.roundTrip.known }
  /// Mean deviation of the round-trip time; nil while that is not known.
  public var roundTripVariation: Duration? {
    roundTrip == nil ? nil : counters.roundTripVariation.duration
  }
  /// The least round-trip time that was measured; nil while not known.
  public var leastRoundTrip: Duration? { counters.leastRoundTrip.known }
  /// UDP: datagrams that the peer is to acknowledge.
  public var trackedSent: UInt64 { counters.trackedSent }
  /// UDP: those of the tracked datagrams that were found lost (RFC 9002); their share is the loss.
  public var trackedLost: UInt64 { counters.trackedLost }
  /// UDP: requests and parts of messages that were sent again; TCP: segments, by the system.
  public var resent: UInt64 { counters.resent }
  /// UDP: bytes that may be on their way without acknowledgement.
  public var congestionWindow: Int { counters.congestionWindow }
  /// UDP: bytes that are on their way without acknowledgement.
  public var bytesInFlight: Int { counters.bytesInFlight }
  /// Drops of all reasons; `MessageBox.dropped(_:of:)` has each.
  public var drops: UInt64 { counters.drops }
}

extension Interval {
  /// The same as a `Duration`; nil for zero.
  fileprivate var known: Duration? { nanoseconds == 0 ? nil : duration }
}
