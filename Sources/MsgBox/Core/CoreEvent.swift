/// What an event is about. The numbers are those of msgbox.h.
package enum EventKind: UInt8, CaseIterable, Sendable {
  case listening = 1
  case listeningError = 2
  case listeningEnded = 3
  case connectionSetup = 4
  case connectionSetupError = 5
  case connectionReady = 6
  case message = 7
  case request = 8
  case reply = 9
  case replyMissing = 10
  case connectionClosed = 11
  case connectionLost = 12
  case writable = 13
  case error = 14
  case delivered = 15
  case undelivered = 16
}

/// Where the bytes of an event are.
package enum Payload: Equatable, Sendable {
  case none
  /// `offset ..< offset + count` of the bytes that were handed to the `receive` or `receiveStream`
  /// that made the event.
  case input(offset: Int, count: Int)
  /// Bytes that came in more than one piece.
  case owned([UInt8])

  /// How many bytes it has.
  var count: Int {
    switch self {
    case .none: 0
    case .input(_, let count): count
    case .owned(let bytes): bytes.count
    }
  }
}

/// One event, with everything that belongs to it; nothing is looked up again at delivery.
package struct CoreEvent: Sendable {
  package var kind: EventKind
  package var status: Status = .ok
  package var systemError: Int32 = 0
  /// The connection or listener.
  package var handle: Handle
  /// The listener that `handle` was cloned from, if any.
  package var listener: Handle = .none
  /// The connection that replaces this one, if it is to reconnect.
  package var next: Handle = .none
  package var request: Handle = .none
  /// The two words that the user of the core attached to the connection.
  package var userWords: UserWords = UserWords()
  /// Of a get, or of a send that wants to hear of its outcome.
  package var getContext: UInt = 0
  /// Of an end: messages that were accepted and not delivered.
  package var undelivered = 0
  package var payload: Payload = .none
}

/// Two words that the core keeps for its user and hands out with each event: connections inherit
/// their listener's.
package struct UserWords: Equatable, Sendable {
  /// The user's own context pointer or number.
  package var context: UInt
  /// Whom the event is for: the address of the C callback.
  package var handler: UInt

  package init(context: UInt = 0, handler: UInt = 0) {
    self.context = context
    self.handler = handler
  }
}
