import MsgBox

/// The calls of a program, watched by the guarantees.
extension Node {
  func listen(
    _ transport: Transport, port: UInt16 = 0, host: Locator.Host = .any,
    options: ConnectionOptions = .init(), context: UInt = 0
  ) -> Handle {
    listen(
      at: Locator(transport: transport, host: host, port: port), options: options,
      context: context)
  }

  func listen(
    at locator: Locator?, options: ConnectionOptions = .init(), context: UInt = 0
  ) -> Handle {
    let handle = endpoint.listen(
      locator, options: options, userWords: UserWords(context: context, handler: 7), at: now)
    guarantees.listens(handle, context: context)
    scheduleTurn()
    return handle
  }

  func connect(
    _ transport: Transport, to address: Address, options: ConnectionOptions = .init(),
    context: UInt = 0
  ) -> Handle {
    connect(
      to: Locator(transport: transport, host: .ip(address.ip), port: address.port),
      options: options, context: context)
  }

  func connect(
    to locator: Locator?, options: ConnectionOptions = .init(), context: UInt = 0
  ) -> Handle {
    let handle = endpoint.connect(
      locator, options: options, userWords: UserWords(context: context, handler: 7), at: now)
    guarantees.connects(handle, context: context)
    scheduleTurn()
    return handle
  }

  func send(_ bytes: [UInt8], to handle: Handle) -> Status {
    send(bytes, to: handle, options: SendOptions())
  }

  func send(_ text: String, to handle: Handle) -> Status {
    send(Array(text.utf8), to: handle)
  }

  func get(
    _ bytes: [UInt8], from handle: Handle, context: UInt, timeout: Interval? = nil
  ) -> Status {
    ask(bytes, from: handle, context: context, timeout: timeout).status
  }

  func get(
    _ text: String, from handle: Handle, context: UInt = 0, timeout: Interval? = nil
  ) -> Status {
    get(Array(text.utf8), from: handle, context: context, timeout: timeout)
  }

  func answer(_ bytes: [UInt8], to request: Handle) -> Status {
    // As `MessageBox` does it.
    let isAnswered = endpoint.answerAtOnce(bytes.span, to: request, lookedAt: now)
    let status = isAnswered ? .ok : endpoint.answer(bytes.span, to: request, at: now)
    guarantees.answered(request, status)
    scheduleTurn()
    return status
  }

  func answer(_ text: String, to request: Handle) -> Status {
    answer(Array(text.utf8), to: request)
  }

  func disconnect(_ handle: Handle) -> Status {
    let status = endpoint.disconnect(handle, at: now)
    guarantees.called("disconnect", handle, status)
    if status == .ok { guarantees.endDecided(handle) }
    scheduleTurn()
    return status
  }

  func unlisten(_ handle: Handle) -> Status {
    let status = endpoint.unlisten(handle, at: now)
    guarantees.called("unlisten", handle, status)
    if status == .ok { guarantees.endDecided(handle) }
    scheduleTurn()
    return status
  }

  func shutDown() {
    endpoint.shutDown(at: now)
    guarantees.shutDown()
    scheduleTurn()
  }

  func setContext(_ context: UInt, of handle: Handle) -> Bool {
    guarantees.setContext(context, of: handle)
    return endpoint.setContext(context, of: handle)
  }

  // MARK: Looking

  // The macros of the tests cannot call a method of a value that cannot be copied.
  var census: Census { endpoint.census }
  var counters: Counters { endpoint.counters }

  func dropped(_ reason: DropReason) -> UInt64 { endpoint.counters.dropped(reason) }

  func counters(of handle: Handle) -> ConnectionCounters? {
    endpoint.counters(of: handle, at: now)
  }

  func localPort(of handle: Handle) -> UInt16? { endpoint.localPort(of: handle) }

  func peer(of handle: Handle) -> Address? { endpoint.address(of: handle)?.address }

  func userWords(of handle: Handle) -> UserWords? { endpoint.userWords(of: handle) }

  // MARK: Waiting

  /// Runs the simulation until this node has had `count` events of a kind; the last of them.
  func wait(
    for kind: EventKind, count: Int = 1, within limit: Interval = .seconds(30)
  ) -> LoggedEvent? {
    simulation.run(within: limit) { log.count(kind) >= count }
    return log.count(kind) >= count ? log.all(kind)[count - 1] : nil
  }

  /// Runs the simulation until `handle` has had an event of a kind; the last such event.
  func wait(
    for kind: EventKind, of handle: Handle, within limit: Interval = .seconds(30)
  ) -> LoggedEvent? {
    simulation.run(within: limit) {
      log.events.contains { $0.kind == kind && $0.handle == handle }
    }
    return log.events.last { $0.kind == kind && $0.handle == handle }
  }

  /// What a NAT does that has forgotten a client: its datagrams come from another port, and from
  /// another address if `ip` is one, and nothing reaches it at the one before.
  func rebind(_ handle: Handle, ip: IPAddress? = nil) {
    guard let address = peer(of: handle) else { return }
    for case let socket? in sockets where socket.remote == address {
      nextPort += 1
      socket.local.port = nextPort
      guard let ip else { continue }
      if simulation.node(at: ip) == nil { simulation.addAddress(ip, of: self) }
      socket.local.ip = ip
    }
  }

  /// Where a listener of this node can be reached.
  func address(of listener: Handle) -> Address {
    Address(ip: ip, port: endpoint.localPort(of: listener) ?? 0)
  }
}
