import CMsgBox

extension EventOf where Payload: ~Escapable {
  /// The public view of an event of the core, whose bytes are `payload`. An `error` is one of a
  /// listener or of a connection; `isOfListener` is asked for no other event.
  @_lifetime(copy payload)
  package init(
    _ event: CoreEvent, _ payload: Payload, isOfListener: @autoclosure () -> Bool
  ) {
    let connection = Connection(event.handle)
    switch event.kind {
    case .message: self = .message(connection, payload)
    case .request: self = .request(Request(event.request, of: connection), payload)
    case .reply: self = .reply(connection, payload, context: event.getContext)
    case .error:
      let error = MessageError(status: event.status, systemError: event.systemError)
      let listener = Listener(event.handle)
      self = .error(isOfListener() ? .listener(listener) : .connection(connection), error)
    default: self.init(bare: event)
    }
  }

  /// An event that has no bytes.
  @_lifetime(immortal)
  private init(bare event: CoreEvent) {
    let connection = Connection(event.handle)
    let listener = Listener(event.handle)
    let error = MessageError(status: event.status, systemError: event.systemError)
    let next = event.next == .none ? nil : Connection(event.next)
    switch event.kind {
    case .listening: self = .listening(listener)
    case .listeningError: self = .listeningError(listener, error)
    case .listeningEnded: self = .listeningEnded(listener)
    case .connectionSetup: self = .connectionSetup(connection)
    case .connectionSetupError:
      self = .connectionSetupError(connection, error, next: next, undelivered: event.undelivered)
    case .connectionReady: self = .connectionReady(connection, Listener(event.listener))
    case .replyMissing: self = .replyMissing(connection, error, context: event.getContext)
    case .connectionClosed:
      self = .connectionClosed(connection, error, undelivered: event.undelivered)
    case .connectionLost:
      self = .connectionLost(connection, error, next: next, undelivered: event.undelivered)
    case .writable: self = .writable(connection)
    case .delivered: self = .delivered(connection, context: event.getContext)
    case .undelivered: self = .undelivered(connection, error, context: event.getContext)
    case .error, .message, .request, .reply: self = .error(.connection(connection), error)
    }
  }
}

#if !hasFeature(Embedded)
  extension EventOf where Payload: ~Escapable {
    /// The name of the event in `msgbox.h`, such as `connection_setup`; for logs.
    public var name: String { unsafe String(cString: msg_event_name(UInt32(kind.rawValue))) }

    private var kind: EventKind {
      switch self {
      case .listening: .listening
      case .listeningError: .listeningError
      case .listeningEnded: .listeningEnded
      case .connectionSetup: .connectionSetup
      case .connectionSetupError: .connectionSetupError
      case .connectionReady: .connectionReady
      case .message: .message
      case .request: .request
      case .reply: .reply
      case .replyMissing: .replyMissing
      case .connectionClosed: .connectionClosed
      case .connectionLost: .connectionLost
      case .writable: .writable
      case .error: .error
      case .delivered: .delivered
      case .undelivered: .undelivered
      }
    }
  }
#endif
