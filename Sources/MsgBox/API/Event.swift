/// What happened, with everything that belongs to it.
///
/// Each `connect` is followed by `connectionSetup` or `connectionSetupError`, each `listen` by
/// `listening` or `listeningError`, each `listening` by `listeningEnded`, each `connectionSetup`
/// and `connectionReady` by `connectionClosed` or `connectionLost` and nothing after it, each `get`
/// by `reply` or `replyMissing`, and each send that is to tell its outcome by `delivered` or
/// `undelivered`, all of which come before the end of their connection.
public enum EventOf<Payload: ~Escapable>: ~Escapable {
  /// The listener accepts from here on.
  case listening(Listener)
  /// The listener could not be.
  case listeningError(Listener, MessageError)
  /// The listener has ended, after every connection of it.
  case listeningEnded(Listener)
  /// Client: somebody is there and has accepted.
  case connectionSetup(Connection)
  /// Client: the connection could not be, and `undelivered` messages were queued for it; `next`
  /// replaces it if it is to try again.
  case connectionSetupError(Connection, MessageError, next: Connection?, undelivered: Int)
  /// Server: a new connection of a listener.
  case connectionReady(Connection, Listener)
  /// A one-way message.
  case message(Connection, Payload)
  /// A message that wants an answer.
  case request(Request, Payload)
  /// The answer to a `get`, with the context that it was given.
  case reply(Connection, Payload, context: UInt)
  /// No answer came to a `get`: `timedOut`, `connectionEnded` or `cancelled`; `tooBig` for one
  /// before the setup that the peer turned out not to accept.
  case replyMissing(Connection, MessageError, context: UInt)
  /// The connection was closed, by whom says the code. `undelivered` messages, requests and
  /// replies were accepted and not given to the system or, if reliable, not acknowledged.
  case connectionClosed(Connection, MessageError, undelivered: Int)
  /// The connection is gone without a close; `next` replaces it if it is to reconnect.
  /// `undelivered` as of `connectionClosed`.
  case connectionLost(Connection, MessageError, next: Connection?, undelivered: Int)
  /// After `wouldBlock`: the queue is below half of its mark.
  case writable(Connection)
  /// A reliable message that was to tell its outcome arrived: the library of the peer has the whole
  /// of it and has acknowledged it. With the context of the send.
  case delivered(Connection, context: UInt)
  /// A reliable message that was to tell its outcome was given up. `expired` and `superseded`: it
  /// never left; `tooBig`, before the setup: the peer turned out not to accept it;
  /// `connectionEnded`, or why the connection could not be: whether it arrived is not known.
  case undelivered(Connection, MessageError, context: UInt)
  /// Something failed, and nothing ends by it. `receiveMark`, once until the program has caught up:
  /// the listener's connections, or the client, are at a receive mark.
  case error(Source, MessageError)
}

/// The listener or connection that an `error` happened on.
public enum Source: Hashable, Sendable {
  /// The listener could not accept, or its connections are at a receive mark.
  case listener(Listener)
  /// Something queued on the connection could not be sent, or it is at a receive mark.
  case connection(Connection)
}

extension EventOf: Escapable where Payload: Escapable {}
extension EventOf: Sendable where Payload: Sendable {}

/// An event whose bytes are borrowed: they live until the handler returns.
public typealias Event = EventOf<RawSpan>

/// An event with bytes of its own.
public typealias OwnedEvent = EventOf<[UInt8]>
