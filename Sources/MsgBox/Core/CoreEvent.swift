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
package struct Payload: Equatable, Sendable {
  /// Whose memory they lie in.
  package enum Place: UInt8, Sendable {
    /// There are none.
    case none
    /// In the bytes that were handed to the `receive` or `receiveStream` that made the event.
    case input
    /// In memory of the endpoint: they came in more than one piece.
    case owned
  }

  private var start: UInt32
  private var length: UInt32
  package var place: Place

  private init(_ place: Place, start: Int, length: Int) {
    self.start = UInt32(truncatingIfNeeded: start)
    self.length = UInt32(truncatingIfNeeded: length)
    self.place = length == 0 ? .none : place
  }

  package static var none: Payload { Payload(.none, start: 0, length: 0) }

  /// `offset ..< offset + count` of the input, both below 2^32.
  package static func input(offset: Int, count: Int) -> Payload {
    Payload(.input, start: offset, length: count)
  }

  /// So many bytes, below 2^32, in memory of the endpoint.
  package static func owned(count: Int) -> Payload {
    Payload(.owned, start: 0, length: count)
  }

  /// Where they begin in the input.
  package var offset: Int { Int(start) }
  /// How many bytes it has.
  package var count: Int { Int(length) }
  /// Where they lie in the input.
  package var range: Range<Int> { offset..<offset + count }
}

/// One event, with everything that belongs to it but owned bytes; nothing is looked up again at
/// delivery. A plain value without references.
package struct CoreEvent: Sendable {
  /// The two words that the user of the core attached to the connection.
  package var userWords = UserWords()
  /// The connection or listener.
  package var handle: Handle
  /// The listener that `handle` was cloned from, if any.
  package var listener: Handle
  /// The connection that replaces this one, if it is to reconnect.
  package var next = Handle.none
  package var request = Handle.none
  /// Of a get, or of a send that wants to hear of its outcome.
  package var getContext: UInt = 0
  /// Of an end: messages that were accepted and not delivered; as many as a UInt32 can say.
  private var undeliveredCount: UInt32 = 0
  package var systemError: Int32 = 0
  package var status: Status
  package var payload = Payload.none
  package var kind: EventKind

  @inline(__always)
  init(_ kind: EventKind, _ status: Status = .ok, handle: Handle, listener: Handle) {
    self.handle = handle
    self.listener = listener
    self.status = status
    self.kind = kind
  }

  /// Of an end: messages that were accepted and not delivered.
  package internal(set) var undelivered: Int {
    get { Int(undeliveredCount) }
    set { undeliveredCount = UInt32(clamping: newValue) }
  }
}

/// An event as it waits to be polled: all that a message needs. Of any other it says only that it
/// is next.
struct WaitingEvent {
  /// Of a request a `RequestWord`, of a reply the context of its get.
  var word: UInt64 = 0
  /// The connection.
  var slot: UInt32 = 0
  var payload = Payload.none
  var kind: EventKind

  var isMessage: Bool { kind == .message || kind == .request || kind == .reply }
}

/// The connection of a message that was polled, and the handles that name it.
struct EventOrigin {
  var slot = ConnectionRecord.noSlot
  var handle = Handle.none
  var listener = Handle.none
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
