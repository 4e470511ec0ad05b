#if !hasFeature(Embedded)
  /// What the thread of an asynchronous box has for itself: the box and who waits for what in it.
  final class AsyncWorker {
    /// A call that waits for room in the queue of its connection.
    private struct Parked {
      let number: UInt
      let begin: () throws(MessageError) -> Void
      let fail: (MessageError) -> Void
    }

    /// The box, which this thread alone touches.
    let box: MessageBox
    private let driver: AsyncDriver
    /// Who waits for the outcome of a listener.
    var listening: [Listener: AsyncCall<Listener>] = [:]
    /// Who waits for the outcome of a connection.
    var connecting: [Connection: AsyncCall<Connection>] = [:]
    /// By the number of the call, which is the context of the get.
    private var gets: [UInt: AsyncCall<[UInt8]>] = [:]
    private var parked: [Connection: [Parked]] = [:]

    /// Makes the worker of a box that is about to move to its thread.
    init(box: MessageBox, driver: AsyncDriver) {
      self.box = box
      self.driver = driver
    }

    /// The body of the thread; `reference` is a retained worker.
    static func run(_ reference: UnsafeMutableRawPointer?) {
      guard let reference = unsafe reference else { return }
      unsafe Unmanaged<AsyncWorker>.fromOpaque(reference).takeRetainedValue().run()
    }

    private func run() {
      while let commands = driver.takeCommands() {
        for command in commands { command(self) }
        do throws(MessageError) { try box.run { self.handle($0) } } catch { break }
      }
      box.close()
      failAll()
      driver.finish()
    }

    // MARK: Calls

    /// Begins a get whose context is the number of the call.
    func get(
      _ message: [UInt8], from connection: Connection, _ timeout: Duration?,
      _ call: AsyncCall<[UInt8]>
    ) throws(MessageError) {
      try box.get(message, from: connection, timeout: timeout, context: call.number)
      gets[call.number] = call
    }

    /// Begins a call that needs room in a queue, or parks it until there is: behind others, so that
    /// they stay in order.
    func begin<Value>(
      _ call: AsyncCall<Value>, on connection: Connection,
      _ body: @escaping () throws(MessageError) -> Void
    ) {
      begin(Parked(number: call.number, begin: body, fail: call.fail), on: connection)
    }

    private func begin(_ call: Parked, on connection: Connection) {
      if parked[connection] == nil {
        do throws(MessageError) {
          return try call.begin()
        } catch {
          if error.code != .wouldBlock { return call.fail(error) }
        }
      }
      parked[connection, default: []].append(call)
    }

    /// The task of a call was cancelled: what it began is ended, and it is told so, unless it has
    /// its outcome.
    func cancel(_ number: UInt) {
      if let call = gets.removeValue(forKey: number) {
        call.fail(MessageError(.cancelled))
      } else if let (connection, _) = connecting.first(where: { $0.value.number == number }) {
        // The outcome, `cancelled`, comes as an event.
        try? box.disconnect(connection)
      } else if let (listener, _) = listening.first(where: { $0.value.number == number }) {
        try? box.unlisten(listener)
      } else {
        unpark(number)
      }
    }

    private func unpark(_ number: UInt) {
      for (connection, waiting) in parked {
        guard let place = waiting.firstIndex(where: { $0.number == number }) else { continue }
        parked[connection]?.remove(at: place)
        if waiting.count == 1 { parked[connection] = nil }
        return waiting[place].fail(MessageError(.cancelled))
      }
    }

    // MARK: Events

    private func handle(_ event: Event) {
      switch event {
      case .listening, .listeningError, .connectionSetup, .connectionSetupError:
        if !settleBeginning(event) { driver.backlog.append(OwnedEvent(copying: event)) }
      case .reply(_, let bytes, let context):
        gets.removeValue(forKey: context)?.succeed(Array(bytes))
      case .replyMissing(_, let error, let context):
        gets.removeValue(forKey: context)?.fail(error)
      case .writable(let connection):
        resend(on: connection)
      case .connectionClosed(let connection, _), .connectionLost(let connection, _, _):
        failParked(on: connection)
        driver.backlog.append(OwnedEvent(copying: event))
      default:
        driver.backlog.append(OwnedEvent(copying: event))
      }
    }

    /// Gives the outcome of a `listen` or `connect` to who awaits it; false if nobody does.
    private func settleBeginning(_ event: Event) -> Bool {
      switch event {
      case .listening(let listener):
        return settle(listening.removeValue(forKey: listener)) { $0.succeed(listener) }
      case .listeningError(let listener, let error):
        return settle(listening.removeValue(forKey: listener)) { $0.fail(error) }
      case .connectionSetup(let connection):
        return settle(connecting.removeValue(forKey: connection)) { $0.succeed(connection) }
      case .connectionSetupError(let connection, let error, let next):
        failParked(on: connection)
        return settle(connecting.removeValue(forKey: connection)) { call in
          guard let next else { return call.fail(error) }
          connecting[next] = call
          // Cancelled while this outcome was decided: there was nothing to disconnect then.
          if call.cancellation.isCancelled { try? box.disconnect(next) }
        }
      default:
        return false
      }
    }

    private func settle<Value>(
      _ call: AsyncCall<Value>?, _ body: (AsyncCall<Value>) -> Void
    ) -> Bool {
      guard let call else { return false }
      body(call)
      return true
    }

    private func resend(on connection: Connection) {
      guard let waiting = parked.removeValue(forKey: connection) else { return }
      for each in waiting { begin(each, on: connection) }
    }

    private func failParked(on connection: Connection) {
      for each in parked.removeValue(forKey: connection) ?? [] {
        each.fail(MessageError(.ended))
      }
    }

    private func failAll() {
      let error = MessageError(.ended)
      for call in listening.values { call.fail(error) }
      for call in connecting.values { call.fail(error) }
      for call in gets.values { call.fail(error) }
      for each in parked.values.joined() { each.fail(error) }
      // What is parked refers to this object.
      parked = [:]
    }
  }

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
      case .connectionSetupError(let connection, let error, let next):
        self = .connectionSetupError(connection, error, next: next)
      case .connectionReady(let connection, let listener):
        self = .connectionReady(connection, listener)
      case .replyMissing(let connection, let error, let context):
        self = .replyMissing(connection, error, context: context)
      case .connectionClosed(let connection, let error): self = .connectionClosed(connection, error)
      case .connectionLost(let connection, let error, let next):
        self = .connectionLost(connection, error, next: next)
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
