import MsgBox
import Testing

/// What a test keeps of an event.
struct Seen: Equatable {
  var kind: EventKind
  var status: Status
  var handle: Handle
  var request: Handle
  var bytes: [UInt8]
}

/// A loop and what it delivered.
final class TestLoop {
  let loop: RunLoop
  var seen: [Seen] = []
  /// Called with each event before it is kept.
  var react: (RunLoop, Seen) -> Void = { _, _ in }

  /// Whether the loop ends without a word to its peers, as in a process that is killed.
  var vanishes = false

  init() throws {
    loop = try RunLoop.make(box: 1).get()
  }

  deinit {
    if !vanishes { loop.shutDown() }
  }

  func listen(_ locator: Locator, _ options: ConnectionOptions = .init()) -> Handle {
    loop.endpoint.listen(locator, options: options, userWords: UserWords(), at: loop.now)
  }

  func connect(_ locator: Locator, _ options: ConnectionOptions = .init()) -> Handle {
    loop.endpoint.connect(locator, options: options, userWords: UserWords(), at: loop.now)
  }

  func send(_ bytes: [UInt8], to handle: Handle) -> Status {
    loop.endpoint.send(bytes.span, to: handle, at: loop.now)
  }

  func get(_ bytes: [UInt8], from handle: Handle) -> Status {
    loop.endpoint.get(bytes.span, from: handle, context: 0, timeout: nil, at: loop.now).status
  }

  func disconnect(_ handle: Handle) -> Status {
    loop.endpoint.disconnect(handle, at: loop.now)
  }

  func unlisten(_ handle: Handle) -> Status {
    loop.endpoint.unlisten(handle, at: loop.now)
  }

  func localPort(_ handle: Handle) -> UInt16? { loop.endpoint.localPort(of: handle) }

  /// What steers the datagrams of its first listener to it; 0 if it has its port alone.
  var steering: UInt8 { first(.listening).map { loop.endpoint.steering(of: $0.handle) } ?? 0 }

  var counters: Counters { loop.endpoint.counters }

  func count(_ kind: EventKind) -> Int { seen.count { $0.kind == kind } }

  func first(_ kind: EventKind) -> Seen? { seen.first { $0.kind == kind } }

  func turn(_ milliseconds: UInt64) throws {
    _ = try loop.turn(timeout: .milliseconds(milliseconds)) { event, bytes in
      var copy: [UInt8] = []
      for offset in bytes.byteOffsets {
        copy.append(unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self))
      }
      let one = Seen(
        kind: event.kind, status: event.status, handle: event.handle, request: event.request,
        bytes: copy)
      react(loop, one)
      seen.append(one)
    }.get()
  }

  /// Starts to listen and waits until it does; returns the listener and its port.
  func listening(
    _ transport: Transport, _ host: Locator.Host, _ options: ConnectionOptions = .init()
  ) throws -> (listener: Handle, port: UInt16) {
    let listener = listen(Locator(transport: transport, host: host, port: 0), options)
    try run([self]) { self.count(.listening) == 1 }
    return (listener, try #require(localPort(listener)))
  }
}

/// Runs the loops in turn until `isDone`, or too long.
func run(_ loops: [TestLoop], until isDone: () -> Bool) throws {
  let limit = SystemClock.now + .milliseconds(UInt64(testLimitMilliseconds))
  while !isDone() {
    guard SystemClock.now < limit else { throw NothingHappened() }
    for loop in loops { try loop.turn(loops.count == 1 ? 100 : 1) }
  }
}

/// A server that sends each message back, and a client that is set up with it.
struct EchoPair {
  let server: TestLoop
  let client: TestLoop
  let listener: Handle
  let port: UInt16
  let connection: Handle

  init(
    _ transport: Transport, listen: Locator.Host = loopback, connect: Locator.Host = loopback,
    _ options: ConnectionOptions = .init()
  ) throws {
    server = try TestLoop()
    client = try TestLoop()
    server.react = { loop, seen in
      guard seen.kind == .message || seen.kind == .request else { return }
      let status =
        seen.kind == .message
        ? loop.endpoint.send(seen.bytes.span, to: seen.handle, at: loop.now)
        : loop.endpoint.answer(seen.bytes.span, to: seen.request, at: loop.now)
      #expect(status == .ok)
    }
    (listener, port) = try server.listening(transport, listen, options)
    connection = client.connect(
      Locator(transport: transport, host: connect, port: port), options)
    #expect(connection != .none)
    try self.run { [client] in client.count(.connectionSetup) == 1 }
  }

  func run(until isDone: () -> Bool) throws {
    try MsgBoxTests.run([client, server], until: isDone)
  }
}
