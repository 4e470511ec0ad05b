#if !hasFeature(Embedded)
  import CMsgBox
  import Synchronization

  /// What the thread of an asynchronous box and its callers share.
  final class AsyncDriver: Sendable {
    /// Something to be done on the thread; without a worker when the box has ended.
    typealias Command = @Sendable (AsyncWorker?) -> Void

    private struct State {
      var commands: [Command] = []
      var isStopping = false
      var hasEnded = false
      var awaitingEnd: [CheckedContinuation<Void, Never>] = []
    }

    /// The events that nobody has taken yet.
    let backlog: EventBacklog
    private let waker: MessageBox.Waker
    private let state = Mutex(State())
    private let calls = Atomic<UInt>(firstCall)

    /// The numbers of calls, which are the contexts of their gets and sends, begin here: those of a
    /// program that uses the box itself are likely to be smaller numbers, or addresses.
    static let firstCall: UInt = 1 << (UInt.bitWidth - 1)

    private init(waker: MessageBox.Waker) {
      self.waker = waker
      backlog = EventBacklog(waker: waker)
    }

    /// Makes a box and a thread that runs it until `stop`.
    static func start() throws(MessageError) -> AsyncDriver {
      let box = try MessageBox()
      let driver = AsyncDriver(waker: try box.makeWaker())
      let worker = AsyncWorker(box: box, driver: driver)
      let reference = unsafe Unmanaged.passRetained(worker)
      let error = unsafe cmsgbox_thread_start(
        { unsafe AsyncWorker.run($0) }, reference.toOpaque())
      guard error == 0 else {
        unsafe reference.release()
        throw MessageError(status: Errno(rawValue: error).status, systemError: error)
      }
      return driver
    }

    // MARK: Callers

    /// Asks the thread to end the box.
    func stop() {
      state.withLock { $0.isStopping = true }
      waker.wake()
    }

    /// Returns when the box has ended.
    func ended() async {
      await withCheckedContinuation { continuation in
        let hasEnded = state.withLock { state in
          if !state.hasEnded { state.awaitingEnd.append(continuation) }
          return state.hasEnded
        }
        if hasEnded { continuation.resume() }
      }
    }

    /// Has `command` done on the thread, in order.
    private func submit(_ command: @escaping Command) {
      let (isFirst, hasEnded) = state.withLock { state in
        if !state.hasEnded { state.commands.append(command) }
        return (state.commands.count == 1, state.hasEnded)
      }
      if hasEnded {
        command(nil)
      } else if isFirst {
        waker.wake()
      }
    }

    /// Begins something on the thread and waits until `AsyncCall` has its outcome.
    func call<Value: Sendable>(
      _ begin: @escaping @Sendable (AsyncWorker, AsyncCall<Value>) throws(MessageError) -> Void
    ) async throws(MessageError) -> Value {
      let number = calls.wrappingAdd(1, ordering: .relaxed).newValue
      let cancellation = Cancellation()
      let outcome = await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let call = AsyncCall<Value>(
            number: number, cancellation: cancellation, continuation: continuation)
          submit { worker in
            guard let worker else { return call.fail(MessageError(.ended)) }
            guard !cancellation.isCancelled else { return call.fail(MessageError(.cancelled)) }
            do throws(MessageError) { try begin(worker, call) } catch { call.fail(error) }
          }
        }
      } onCancel: {
        cancellation.cancel()
        submit { $0?.cancel(number) }
      }
      return try outcome.get()
    }

    // MARK: The thread

    /// The commands since the last time; nil when the box is to end.
    func takeCommands() -> [Command]? {
      state.withLock { state in
        if state.isStopping { return nil }
        let commands = state.commands
        state.commands = []
        return commands
      }
    }

    /// Says that the box has ended: commands that came too late fail.
    func finish() {
      let (commands, waiting) = state.withLock { state in
        let rest = (state.commands, state.awaitingEnd)
        state.hasEnded = true
        state.commands = []
        state.awaitingEnd = []
        return rest
      }
      for command in commands { command(nil) }
      backlog.finish()
      for continuation in waiting { continuation.resume() }
    }
  }

  /// Whether the task that made a call was cancelled, perhaps before the thread came to begin it.
  final class Cancellation: Sendable {
    private let flag = Atomic<Bool>(false)

    /// Whether `cancel` was called.
    var isCancelled: Bool { flag.load(ordering: .acquiring) }

    /// Says that nobody waits any more.
    func cancel() {
      flag.store(true, ordering: .releasing)
    }
  }

  /// Somebody who waits for the outcome of a call; must be given exactly one.
  struct AsyncCall<Value: Sendable>: Sendable {
    /// Names the call; the context of a get, or of a send that tells its outcome.
    let number: UInt
    /// Whether nobody waits any more.
    let cancellation: Cancellation
    /// Who waits.
    let continuation: CheckedContinuation<Result<Value, MessageError>, Never>

    /// Ends the wait with a value.
    func succeed(_ value: Value) {
      continuation.resume(returning: .success(value))
    }

    /// Ends the wait with an error.
    func fail(_ error: MessageError) {
      continuation.resume(returning: .failure(error))
    }
  }
#endif
