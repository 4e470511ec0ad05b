import MsgBox

/// A box on real sockets whose calls and events are held against the guarantees.
final class FaultBox {
  let loop: RunLoop
  private(set) var log = EventLog()
  private(set) var guarantees: Guarantees
  /// Gets each event, from inside its turn.
  var react: (FaultBox, LoggedEvent) -> Void = { _, _ in }
  /// What does not hold.
  let broken = Broken()
  private var contexts: UInt = 0

  final class Broken {
    var texts: [String] = []
  }

  /// Nil if it cannot be made, which is an answer too.
  init?(_ number: UInt32) {
    guard case .success(let loop) = RunLoop.make(box: number) else { return nil }
    self.loop = loop
    let broken = broken
    guarantees = Guarantees("box \(number)") { broken.texts.append($0) }
  }

  // MARK: Calls

  func listen(_ locator: Locator, _ options: ConnectionOptions) -> Handle {
    contexts += 1
    let handle = loop.endpoint.listen(
      locator, options: options, userWords: UserWords(context: contexts, handler: 0), at: loop.now)
    guarantees.listens(handle, context: contexts)
    return handle
  }

  func connect(_ locator: Locator, _ options: ConnectionOptions) -> Handle {
    contexts += 1
    let handle = loop.endpoint.connect(
      locator, options: options, userWords: UserWords(context: contexts, handler: 0), at: loop.now)
    guarantees.connects(handle, context: contexts)
    return handle
  }

  func send(_ bytes: [UInt8], to handle: Handle, isReliable: Bool = false) {
    contexts += 1
    let options = isReliable ? reliableOptions(outcome: contexts) : SendOptions()
    let status = loop.endpoint.send(bytes.span, to: handle, options: options, at: loop.now)
    guarantees.sends(handle, options, status)
  }

  func ask(_ bytes: [UInt8], from handle: Handle) {
    contexts += 1
    let result = loop.endpoint.get(
      bytes.span, from: handle, context: contexts, timeout: nil, at: loop.now)
    guarantees.called("get", handle, result.status)
    if case .success(let get) = result { guarantees.getBegan(handle, contexts, get) }
  }

  func answer(_ bytes: [UInt8], to request: Handle) {
    guarantees.answered(request, loop.endpoint.answer(bytes.span, to: request, at: loop.now))
  }

  func end(_ handle: Handle) {
    let isListener = guarantees.isListener(handle)
    let status =
      isListener
      ? loop.endpoint.unlisten(handle, at: loop.now)
      : loop.endpoint.disconnect(handle, at: loop.now)
    guarantees.called("end", handle, status)
    if status == .ok { guarantees.endDecided(handle) }
  }

  func shutDown() {
    guarantees.shutDown()
    loop.shutDown()
  }

  // MARK: Turns

  /// One turn, whether or not it fails.
  func turn(_ milliseconds: UInt64) {
    _ = loop.turn(timeout: .milliseconds(milliseconds)) { event, bytes in
      guarantees.pollReturned(loop.endpoint)
      let logged = LoggedEvent(event, bytes: Self.copy(bytes), at: loop.now)
      log.append(logged)
      guarantees.check(logged, loop.endpoint)
      react(self, logged)
    }
  }

  private static func copy(_ bytes: RawSpan) -> [UInt8] {
    bytes.byteOffsets.map { unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
  }

  /// Whether a start has its outcome.
  func isDecided(_ handle: Handle) -> Bool {
    !guarantees.isAlive(handle) || log.events(of: handle).contains { $0.kind.isOpening }
  }

  func isOpen(_ handle: Handle) -> Bool { guarantees.isAlive(handle) && isDecided(handle) }
}

extension EventKind {
  fileprivate var isOpening: Bool {
    self == .listening || self == .connectionSetup || self == .connectionReady
  }
}
