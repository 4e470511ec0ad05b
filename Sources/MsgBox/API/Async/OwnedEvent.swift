#if !hasFeature(Embedded)
  extension OwnedEvent {
    /// The same event with bytes of its own.
    public init(copying event: Event) {
      switch event {
      case .message(let connection, let bytes): self = .message(connection, Array(bytes))
      case .request(let request, let bytes): self = .request(request, Array(bytes))
      case .reply(let connection, let bytes, let context):
        self = .reply(connection, Array(bytes), context: context)
      case .listening(let listener): self = .listening(listener)
      case .listeningError(let listener, let error): self = .listeningError(listener, error)
      case .listeningEnded(let listener): self = .listeningEnded(listener)
      case .connectionSetup(let connection): self = .connectionSetup(connection)
      case .connectionSetupError(let connection, let error, let next, let undelivered):
        self = .connectionSetupError(connection, error, next: next, undelivered: undelivered)
      case .connectionReady(let connection, let listener):
        self = .connectionReady(connection, listener)
      case .replyMissing(let connection, let error, let context):
        self = .replyMissing(connection, error, context: context)
      case .connectionClosed(let connection, let error, let undelivered):
        self = .connectionClosed(connection, error, undelivered: undelivered)
      case .connectionLost(let connection, let error, let next, let undelivered):
        self = .connectionLost(connection, error, next: next, undelivered: undelivered)
      case .writable(let connection): self = .writable(connection)
      case .delivered(let connection, let context):
        self = .delivered(connection, context: context)
      case .undelivered(let connection, let error, let context):
        self = .undelivered(connection, error, context: context)
      case .error(let source, let error): self = .error(source, error)
      }
    }
  }
#endif
