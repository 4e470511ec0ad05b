#if !hasFeature(Embedded)
  /// What the thread of an asynchronous box has for itself: the box and who waits for what in it.
  final class AsyncWorker {
    /// A call that waits for room in the queue of its connection.
    private struct Parked {
      let number: UInt
      let begin: () throws(MessageError) -> Void
      let fail: (MessageError) -> Void
    }

    /// Who hears of the outcome of a send.
    private enum Outcome {
      /// Who awaits it.
      case call(AsyncCall<Void>)
      /// So many events with the context of the program.
      case events(UInt, left: Int)
    }

    /// The box, which this thread alone touches.
    let box: MessageBox
    private let driver: AsyncDriver
    /// Who waits for the outcome of a listener.
    var listening: [Listener: AsyncCall<Listener>] = [:]
    /// Who waits for the outcome of a connection.
    var connecting: [Connection: AsyncCall<Connection>] = [:]
    /// By the number of the call, which is the context of the get.
    private var gets: [UInt: (call: AsyncCall<[UInt8]>, get: PendingGet)] = [:]
    /// By the number of the call, which is the context of the send.
    private var outcomes: [UInt: Outcome] = [:]
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
      // The core is to count what waits for the program from the first message on.
      box.loop.endpoint.untaken(.none, messages: 0, bytes: 0)
      while let commands = driver.takeCommands() {
        for command in commands { command(self) }
        reportTaken()
        guard runTurn() else { break }
      }
      box.close()
      failAll()
      driver.finish()
    }

    private func runTurn() -> Bool {
      let result = box.loop.turn(timeout: nil) { event, bytes in
        let isOfListener = box.loop.endpoint.isListener(event.handle)
        handle(Event(event, bytes, isOfListener: isOfListener), event)
      }
      if case .failure = result { return false }
      return true
    }

    /// Tells the core what the program has taken, so that more may come.
    private func reportTaken() {
      for (owner, taken) in driver.backlog.collectTaken() {
        box.loop.endpoint.untaken(
          owner, messages: -taken.messages, bytes: -taken.bytes, connections: -taken.connections)
      }
    }

    // MARK: Calls

    /// Sends a message; its outcome, if it is to tell it, becomes an event with the context of the
    /// program.
    func send(
      _ message: [UInt8], to connection: Connection, _ options: MessageBox.SendOptions,
      _ number: UInt
    ) throws(MessageError) {
      try box.send(message, to: connection, options: replacingContext(of: options, by: number))
      expectOutcomes(1, options, number)
    }

    /// Sends a message whose outcome is that of the call.
    func send(
      reliable message: [UInt8], to connection: Connection, _ channel: UInt8,
      _ deadline: Duration?, _ call: AsyncCall<Void>
    ) throws(MessageError) {
      var options = MessageBox.SendOptions.reliable(
        channel: channel, tellingOutcomeTo: call.number)
      options.deadline = deadline
      try box.send(message, to: connection, options: options)
      outcomes[call.number] = .call(call)
    }

    /// Sends a message to every connection of a listener.
    func broadcast(
      _ message: [UInt8], from listener: Listener, _ options: MessageBox.SendOptions,
      _ number: UInt
    ) throws(MessageError) -> MessageBox.BroadcastResult {
      let result = try box.broadcast(
        message, from: listener, options: replacingContext(of: options, by: number))
      expectOutcomes(result.reached, options, number)
      return result
    }

    /// Sends a message to one connection of a listener.
    func sendAny(
      _ message: [UInt8], from listener: Listener, _ options: MessageBox.SendOptions,
      _ number: UInt
    ) throws(MessageError) -> Connection {
      let chosen = try box.sendAny(
        message, from: listener, options: replacingContext(of: options, by: number))
      expectOutcomes(1, options, number)
      return chosen
    }

    /// Contexts of the program might be the numbers of other calls.
    private func replacingContext(
      of options: MessageBox.SendOptions, by number: UInt
    ) -> MessageBox.SendOptions {
      var options = options
      options.context = number
      return options
    }

    private func expectOutcomes(
      _ count: Int, _ options: MessageBox.SendOptions, _ number: UInt
    ) {
      guard options.tellsOutcome, count > 0 else { return }
      outcomes[number] = .events(options.context, left: count)
    }

    /// Begins a get whose context is the number of the call.
    func get(
      _ message: [UInt8], from connection: Connection, _ timeout: Duration?,
      _ call: AsyncCall<[UInt8]>
    ) throws(MessageError) {
      let get = try box.get(message, from: connection, timeout: timeout, context: call.number)
      gets[call.number] = (call, get)
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
      if let (call, get) = gets.removeValue(forKey: number) {
        // Its outcome is nobody's.
        try? box.cancel(get)
        call.fail(MessageError(.cancelled))
      } else if case .call(let call) = outcomes[number] {
        outcomes[number] = nil
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

    /// Gives an event, and the same as the core tells it, to whom it is for.
    private func handle(_ event: Event, _ core: CoreEvent) {
      switch event {
      case .listening, .listeningError, .connectionSetup, .connectionSetupError:
        if !settleBeginning(event) { keep(event, core) }
      case .reply(_, let bytes, let context):
        guard let (call, _) = gets.removeValue(forKey: context) else {
          return keepIfOwn(event, core)
        }
        call.succeed(Array(bytes))
      case .replyMissing(_, let error, let context):
        guard let (call, _) = gets.removeValue(forKey: context) else {
          return keepIfOwn(event, core)
        }
        call.fail(error)
      case .delivered(_, let context):
        settleSend(event, core, context) { $0.succeed(()) }
      case .undelivered(_, let error, let context):
        settleSend(event, core, context) { $0.fail(error) }
      case .writable(let connection):
        resend(on: connection)
      case .connectionClosed(let connection, _, _), .connectionLost(let connection, _, _, _):
        failParked(on: connection)
        keep(event, core)
      default:
        keep(event, core)
      }
    }

    /// Gives an event to the program. What the program does not take at once counts against the
    /// receive marks, and the connections of its listener.
    private func keep(_ event: Event, _ core: CoreEvent) {
      let owner = core.listener == .none ? core.handle : core.listener
      guard let kept = driver.backlog.append(OwnedEvent(copying: event), of: owner) else { return }
      box.loop.endpoint.untaken(
        owner, messages: kept.messages, bytes: kept.bytes, connections: kept.connections)
      reportTaken()
    }

    /// Gives the outcome of a send to who awaits it, or to the program with its own context.
    private func settleSend(
      _ event: Event, _ core: CoreEvent, _ context: UInt, _ body: (AsyncCall<Void>) -> Void
    ) {
      switch outcomes[context] {
      case .call(let call):
        outcomes[context] = nil
        body(call)
      case .events(let own, let left):
        outcomes[context] = left > 1 ? .events(own, left: left - 1) : nil
        var core = core
        core.getContext = own
        keep(Event(core, RawSpan(), isOfListener: false), core)
      case nil:
        keepIfOwn(event, core)
      }
    }

    /// Gives the outcome of what the program began by the box itself to the program; that of a call
    /// whose task was cancelled is nobody's.
    private func keepIfOwn(_ event: Event, _ core: CoreEvent) {
      if core.getContext < AsyncDriver.firstCall { keep(event, core) }
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
      case .connectionSetupError(let connection, let error, let next, _):
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
      for (call, _) in gets.values { call.fail(error) }
      for case .call(let call) in outcomes.values { call.fail(error) }
      for each in parked.values.joined() { each.fail(error) }
      // What is parked refers to this object.
      parked = [:]
    }
  }
#endif
