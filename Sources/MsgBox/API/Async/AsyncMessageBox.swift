#if !hasFeature(Embedded)
  /// A box that runs on a thread of its own, for programs that await.
  ///
  /// ```
  /// let box = try AsyncMessageBox()
  /// let connection = try await box.connect(to: "udp://127.0.0.1:2345")
  /// let reply = try await connection.get(Array("how are you?".utf8), timeout: .seconds(2))
  /// ```
  ///
  /// What a call awaits comes back from that call and is no event: the outcomes of `listen`,
  /// `connect`, `get` and `send(reliable:)`. Everything else is in `events`. A task that is
  /// cancelled gets the error `cancelled`, and what it began is ended; only a message that was
  /// queued is sent all the same. The box ends with `close`, or when nothing refers to it or one of
  /// its `AsyncConnection`s. Awaiting its `events` does not keep it alive: hold it, or use it in
  /// the loop.
  ///
  /// **Thread:** any.
  public final class AsyncMessageBox: Sendable {
    /// What the thread of the box and its callers share.
    let driver: AsyncDriver

    /// Makes a box and its thread.
    ///
    /// - Throws: `noDescriptors`, `noMemory`, `limit`, `system`.
    public init() throws(MessageError) {
      driver = try AsyncDriver.start()
    }

    deinit {
      driver.stop()
    }

    /// What happens, in order; ends when the box has ended. Each event is given once, to whoever
    /// awaits first.
    ///
    /// Messages and requests that nobody has taken count against the receive marks of their
    /// listener, or client connection: see `Options.receiveMarkMessages`. No other event is ever
    /// dropped.
    public var events: AsyncEvents { AsyncEvents(backlog: driver.backlog) }

    /// Ends the box: closes are sent, what is awaited fails with `ended`. Returns when its thread
    /// is through with it.
    public func close() async {
      driver.stop()
      await driver.ended()
    }

    /// Listens on an address; see `MessageBox.listen`. Returns when it accepts.
    ///
    /// - Throws: What `listeningError` would say, or `ended`, `cancelled`, `limit`.
    public func listen(
      on address: String, options: Options = Options()
    ) async throws(MessageError) -> Listener {
      try await driver.call { worker, call throws(MessageError) in
        let listener = try worker.box.listen(on: address, options: options)
        worker.listening[listener] = call
      }
    }

    /// Connects to an address; see `MessageBox.connect`. Returns when somebody has accepted there.
    ///
    /// With `Options.reconnectWait` it tries until it succeeds or is cancelled.
    ///
    /// - Throws: What `connectionSetupError` would say, or `ended`, `cancelled`, `limit`.
    public func connect(
      to address: String, options: Options = Options()
    ) async throws(MessageError) -> AsyncConnection {
      let connection: Connection = try await driver.call { worker, call throws(MessageError) in
        let connection = try worker.box.connect(to: address, options: options)
        worker.connecting[connection] = call
      }
      return AsyncConnection(connection, of: self)
    }

    /// Sends one message; see `MessageBox.send`. Waits while the connection's queue is at its mark,
    /// and returns when the message is queued.
    ///
    /// With `SendOptions.tellsOutcome` the outcome is an event; `send(reliable:)` awaits it.
    ///
    /// - Throws: `tooBig`, `ended`, `badHandle`, `cancelled`, `invalidArgument`, `notSupported`.
    public func send(
      _ message: [UInt8], to connection: Connection,
      options: MessageBox.SendOptions = MessageBox.SendOptions()
    ) async throws(MessageError) {
      try await driver.call { worker, call in
        worker.begin(call, on: connection) { () throws(MessageError) in
          call.succeed(try worker.send(message, to: connection, options, call.number))
        }
      }
    }

    /// Sends one message and returns when the peer has acknowledged it; see
    /// `MessageBox.SendOptions`. Waits to send while the connection's queue is at its mark.
    ///
    /// A task that is cancelled after the message was queued gets `cancelled` although the message
    /// may arrive.
    ///
    /// - Parameters:
    ///   - message: 0 or more bytes.
    ///   - connection: Whom it is for.
    ///   - channel: 0 is unordered; 1...255 are ordered, each in itself.
    ///   - deadline: `expired` if it is not on the wire within this; nil is never.
    /// - Throws: `expired`, `connectionEnded`, `tooBig`, `ended`, `badHandle`, `cancelled`,
    ///   `invalidArgument`, `notSupported`.
    public func send(
      reliable message: [UInt8], to connection: Connection, channel: UInt8 = 0,
      deadline: Duration? = nil
    ) async throws(MessageError) {
      try await driver.call { (worker, call: AsyncCall<Void>) in
        worker.begin(call, on: connection) { () throws(MessageError) in
          try worker.send(reliable: message, to: connection, channel, deadline, call)
        }
      }
    }

    /// Sends one message to every connection of a listener; see `MessageBox.broadcast`. Waits for
    /// no queue.
    ///
    /// - Throws: `noPeer`, `ended`, `badHandle`, `invalidArgument`.
    @discardableResult
    public func broadcast(
      _ message: [UInt8], from listener: Listener,
      options: MessageBox.SendOptions = MessageBox.SendOptions()
    ) async throws(MessageError) -> MessageBox.BroadcastResult {
      try await driver.call { worker, call throws(MessageError) in
        call.succeed(try worker.broadcast(message, from: listener, options, call.number))
      }
    }

    /// Sends one message to one connection of a listener; see `MessageBox.sendAny`. Waits for no
    /// queue.
    ///
    /// - Throws: `noPeer`, `wouldBlock`, `tooBig`, `ended`, `badHandle`, `invalidArgument`.
    @discardableResult
    public func sendAny(
      _ message: [UInt8], from listener: Listener,
      options: MessageBox.SendOptions = MessageBox.SendOptions()
    ) async throws(MessageError) -> Connection {
      try await driver.call { worker, call throws(MessageError) in
        call.succeed(try worker.sendAny(message, from: listener, options, call.number))
      }
    }

    /// Asks and waits for the reply; see `MessageBox.get`. Waits to ask while the connection's
    /// queue is at its mark. A task that is cancelled gives up the get.
    ///
    /// - Throws: `timedOut`, `connectionEnded`, `tooBig`, `busy`, `ended`, `badHandle`,
    ///   `cancelled`.
    public func get(
      _ message: [UInt8], from connection: Connection, timeout: Duration? = nil
    ) async throws(MessageError) -> [UInt8] {
      try await driver.call { worker, call in
        worker.begin(call, on: connection) { () throws(MessageError) in
          try worker.get(message, from: connection, timeout, call)
        }
      }
    }

    /// Answers a request; see `MessageBox.answer`. Waits while the connection's queue is at its
    /// mark.
    ///
    /// - Throws: `tooBig`, `ended`, `badHandle`, `cancelled`.
    public func answer(_ message: [UInt8], to request: Request) async throws(MessageError) {
      try await driver.call { worker, call in
        worker.begin(call, on: request.connection) { () throws(MessageError) in
          call.succeed(try worker.box.answer(message, to: request))
        }
      }
    }

    /// Ends a connection; see `MessageBox.disconnect`. Its end is an event.
    ///
    /// - Throws: `ended`, `badHandle`.
    public func disconnect(_ connection: Connection) async throws(MessageError) {
      try await withBox { box throws(MessageError) in try box.disconnect(connection) }
    }

    /// Ends a connection without delivering what is queued; see `MessageBox.abort`. Its end is an
    /// event.
    ///
    /// - Throws: `ended`, `badHandle`.
    public func abort(_ connection: Connection) async throws(MessageError) {
      try await withBox { box throws(MessageError) in try box.abort(connection) }
    }

    /// Ends a listener; see `MessageBox.unlisten`. Its end is an event.
    ///
    /// - Throws: `ended`, `badHandle`.
    public func unlisten(_ listener: Listener) async throws(MessageError) {
      try await withBox { box throws(MessageError) in try box.unlisten(listener) }
    }

    /// Runs `body` on the thread of the box, with the box: for addresses, ports, statistics and the
    /// log.
    ///
    /// - Throws: What `body` throws, or `ended`.
    public func withBox<Value: Sendable>(
      _ body: @escaping @Sendable (MessageBox) throws(MessageError) -> Value
    ) async throws(MessageError) -> Value {
      try await driver.call { worker, call throws(MessageError) in
        call.succeed(try body(worker.box))
      }
    }

    /// The calls on one connection, such as one that an event names.
    public func connection(_ connection: Connection) -> AsyncConnection {
      AsyncConnection(connection, of: self)
    }
  }
#endif
