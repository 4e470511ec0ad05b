/// How one message is sent, besides what it is.
package struct SendOptions: Equatable, Sendable {
  /// Resent until it is acknowledged, and delivered once. Over TCP every message is.
  package var isReliable = false
  /// Of a reliable message: 0 is unordered, 1...255 are ordered each in itself.
  package var channel: UInt8 = 0
  /// Dropped if it is not on the wire within this; zero is never.
  package var deadline = Interval(nanoseconds: 0)
  /// A message that waits with the same key, not 0, gives its place to this one.
  package var key: UInt64 = 0
  /// Over UDP it gets a datagram of its own, so that the loss of one loses no other message.
  package var isAlone = false
  /// Exactly one of `delivered` and `undelivered` follows. Only of a reliable message.
  package var wantsOutcome = false
  /// Comes back with the outcome.
  package var context: UInt = 0

  package init() {}

  /// Whether it is like no options, but for `isAlone`.
  package var isPlain: Bool {
    !isReliable && !wantsOutcome && channel == 0 && deadline.nanoseconds == 0 && key == 0
  }

  /// Whether channel and outcome are asked for of reliable messages only.
  var isValid: Bool { isReliable || channel == 0 && !wantsOutcome }
}

/// What all connections of a box share.
package struct BoxLimits: Equatable, Sendable {
  /// Messages accepted and not yet sent, over all connections.
  package var sendMarkMessages: UInt32 = 262_144
  package var sendMarkBytes: UInt64 = 268_435_456
  /// Bytes of incomplete messages, and of such that wait for others before them: over UDP, and as many
  /// of streams.
  package var receiveBytes: UInt64 = 268_435_456
  /// Datagrams that one turn sends.
  package var turnDatagrams: UInt32 = 1000

  package init() {}

  package var isValid: Bool {
    sendMarkMessages >= 1 && sendMarkBytes >= 1 && receiveBytes >= 1 && turnDatagrams >= 1
  }
}
