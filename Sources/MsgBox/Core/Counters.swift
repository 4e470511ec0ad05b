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
  package var drops: InlineArray<24, UInt64> = .init(repeating: 0)

  package init() {}

  package mutating func drop(_ reason: DropReason, count: UInt64 = 1) {
    drops[Int(reason.rawValue)] &+= count
  }

  package func dropped(_ reason: DropReason) -> UInt64 { drops[Int(reason.rawValue)] }

  package var allDrops: UInt64 {
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
  package var getsWaiting = 0
  package var requestsOpen = 0
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
}
