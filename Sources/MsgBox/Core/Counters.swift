/// What an endpoint counts since it was made.
package struct Counters: Sendable {
  package var datagramsReceived: UInt64 = 0
  package var datagramsSent: UInt64 = 0
  package var bytesReceived: UInt64 = 0
  package var bytesSent: UInt64 = 0
  package var messagesReceived: UInt64 = 0
  package var messagesSent: UInt64 = 0
  package var heartbeatsReceived: UInt64 = 0
  package var heartbeatsSent: UInt64 = 0
  package typealias Drops = InlineArray<31, UInt64>
  package var drops = Drops(repeating: 0)

  package init() {}

  package mutating func drop(_ reason: DropReason, count: UInt64 = 1) {
    drops[Int(reason.rawValue)] &+= count
  }

  package func dropped(_ reason: DropReason) -> UInt64 { drops[Int(reason.rawValue)] }

  package var allDrops: UInt64 { Self.sum(of: drops) }

  /// Drops of all reasons.
  static func sum(of drops: Drops) -> UInt64 {
    var sum: UInt64 = 0
    for index in drops.indices { sum &+= drops[index] }
    return sum
  }
}

/// What an endpoint holds at a moment.
package struct Census: Equatable, Sendable {
  package var connections = 0
  package var listeners = 0
  package var pendingHellos = 0
  package var tombstones = 0
  /// Sessions of which it is asked whether their peers have moved.
  package var pathChanges = 0
  package var getsWaiting = 0
  package var requestsOpen = 0
  /// Messages accepted and not given to the system or, if reliable, not acknowledged.
  package var queuedMessages = 0
  package var queuedBytes = 0
  /// Bytes of incomplete messages, and of such that wait for others before them.
  package var incompleteBytes = 0
  /// Messages that must arrive over UDP and are not done, or done before others of their channel.
  package var outboxMessages = 0
}

/// What a connection counts, and what it holds at a moment.
package struct ConnectionCounters: Equatable, Sendable {
  package var messagesReceived: UInt64 = 0
  package var messagesSent: UInt64 = 0
  package var bytesReceived: UInt64 = 0
  package var bytesSent: UInt64 = 0
  package var queuedMessages = 0
  package var queuedBytes = 0
  package var getsWaiting = 0
  package var silence = Interval(nanoseconds: 0)
  /// Smoothed round-trip time, its variation and the least one; zero while not known.
  package var roundTrip = Interval(nanoseconds: 0)
  package var roundTripVariation = Interval(nanoseconds: 0)
  package var leastRoundTrip = Interval(nanoseconds: 0)
  /// Datagrams of ours that want an acknowledgement, and those of them that were lost.
  package var trackedSent: UInt64 = 0
  package var trackedLost: UInt64 = 0
  /// What was sent again: requests and parts of reliable messages.
  package var resent: UInt64 = 0
  /// Bytes that may be on their way without acknowledgement, and that are.
  package var congestionWindow = 0
  package var bytesInFlight = 0
  package var drops: UInt64 = 0
}
