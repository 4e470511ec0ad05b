/// Sends to more than one, and to whoever is next; and what is asked of single ones besides.
extension Endpoint {
  /// Queues a one-way message of a connection that has not ended.
  mutating func send(
    _ message: Span<UInt8>, _ slot: Int, _ options: SendOptions, shared: MessageBytes?,
    owes: Bool = true, at now: Instant
  ) -> Status {
    guard options.isValid else { return .invalidArgument }
    return queue(
      MessageHead(kind: .oneWay), message, slot, options, shared: shared, owes: owes, at: now)
  }

  /// Queues a one-way message to every open connection of a listener. Who does not take it is told
  /// to `skipped`, with the reason. Returns to how many it was queued.
  package mutating func broadcast(
    _ message: Span<UInt8>, from listener: Handle, options: SendOptions,
    shared: MessageBytes? = nil, at now: Instant, skipped: (Handle, Status) -> Void
  ) -> Result<Int, Status> {
    switch openListener(listener) {
    case .failure(let status): return .failure(status)
    case .success(let state):
      guard options.isValid else { return .failure(.invalidArgument) }
      // What must be kept until its turn is kept once for all.
      let needsCopy =
        options.isReliable || options.waits || message.count > WireFormat.maxLonePayload
      let shared = shared ?? (needsCopy ? MessageBytes(copying: message) : nil)
      var reached = 0
      for slot in connections.members(of: state.connections)
      where connections[slot].phase == .open {
        let status = send(message, slot, options, shared: shared, at: now)
        if status == .ok { reached += 1 } else { skipped(handle(slot), status) }
      }
      return .success(reached)
    }
  }

  /// Queues a one-way message to one of a listener's open connections: each in turn, passing over
  /// those that are at their marks. Returns whom it was queued to; `noPeer` if there is no
  /// connection, `wouldBlock` if all are at their marks.
  package mutating func sendAny(
    _ message: Span<UInt8>, from listener: Handle, options: SendOptions,
    shared: MessageBytes? = nil, at now: Instant
  ) -> Result<Handle, Status> {
    switch openListener(listener) {
    case .failure(let status): return .failure(status)
    case .success(let state):
      var failure = Status.noPeer
      for _ in 0..<state.connections.count {
        guard let slot = state.connections.first else { break }
        connections.unlink(slot, from: &state.connections)
        connections.append(slot, to: &state.connections)
        guard connections[slot].phase == .open else { continue }
        let status = send(message, slot, options, shared: shared, owes: false, at: now)
        if status == .ok { return .success(handle(slot)) }
        if failure != .wouldBlock { failure = status }
      }
      // Only who has found nobody at all is to hear when there is somebody.
      if failure == .wouldBlock { oweWritableOfAll(state, message.count) }
      return .failure(failure)
    }
  }

  private mutating func oweWritableOfAll(_ state: ListenerState, _ bytes: Int) {
    for slot in connections.members(of: state.connections) where connections[slot].phase == .open {
      if let traffic = connections[slot].traffic, !takesMore(traffic, bytes) {
        oweWritable(slot, bytes)
      }
    }
  }

  private func openListener(_ handle: Handle) -> Result<ListenerState, Status> {
    guard let slot = slot(handle) else { return .failure(.badHandle) }
    guard let state = connections[slot].listenerState else { return .failure(.invalidArgument) }
    guard connections[slot].phase == .open else {
      return .failure(connections[slot].phase == .binding ? .noPeer : .ended)
    }
    return .success(state)
  }

  /// Ends a connection without delivering what is queued: its end follows at once.
  package mutating func abort(_ handle: Handle, at now: Instant) -> Status {
    guard let slot = slot(handle) else { return .badHandle }
    guard connections[slot].role != .listener else { return .invalidArgument }
    switch connections[slot].phase {
    case .ended:
      return .ended
    case .open:
      cutOff(slot, at: now)
    case .closing:
      finishClosing(slot, at: now)
    default:
      end(slot, .connectionSetupError, .cancelled, at: now)
    }
    return .ok
  }

  /// Replaces the limits of the box; false if they are out of range.
  package mutating func setLimits(_ limits: BoxLimits) -> Bool {
    guard limits.isValid else { return false }
    self.limits = limits
    repeatMemory.most = Int(clamping: limits.receiveBytes)
    boxHasRoom()
    return true
  }

  /// Drops of one connection by reason; 0 for a bad handle.
  package func dropped(_ reason: DropReason, of handle: Handle) -> UInt64 {
    guard let slot = slot(handle), let traffic = connections[slot].traffic else { return 0 }
    return traffic.drops[Int(reason.rawValue)]
  }
}

extension Endpoint {
  /// The socket that a connection has now; nil for a bad handle, a listener, and while it has none.
  package func socket(of handle: Handle) -> SocketID? {
    guard let slot = slot(handle), connections[slot].role != .listener,
      connections[slot].socket != ConnectionRecord.noSocket
    else { return nil }
    return connections[slot].socket
  }
}
