/// Peers without a session, which a listener may allow.
extension Endpoint {
  /// The connection of whoever sent a packet without a session, made if he is new: only a listener
  /// that says so takes it, and only the notes' five kinds.
  mutating func implicitPeer(
    _ kind: PacketKind, _ source: DatagramSource, at now: Instant
  ) -> Int? {
    guard let listener = owner(source.socket), connections[listener].role == .listener,
      connections[listener].phase == .open, let state = connections[listener].listenerState,
      state.options.implicitPeers, kind.rawValue <= PacketKind.close.rawValue
    else {
      counters.drop(.noSession)
      return nil
    }
    let key = ImplicitPeers.Key(socket: source.socket, remote: source.remote)
    if let slot = implicitPeers.heard(key, in: &state.implicitPeers) {
      heard(slot, at: now)
      return slot
    }
    switch kind {
    case .close:
      counters.drop(.staleClose)
      return nil
    case .reply:
      counters.drop(.staleReply)
      return nil
    case .heartbeat where implicitPeers.isGhost(key):
      counters.drop(.tombstone)
      return nil
    default:
      return addImplicit(key, listener, state, source, at: now)
    }
  }

  private mutating func addImplicit(
    _ key: ImplicitPeers.Key, _ listener: Int, _ state: ListenerState, _ source: DatagramSource,
    at now: Instant
  ) -> Int? {
    // Forged ones leave the other half of the prefix to who has shown that he is there.
    guard !state.isCrowded(by: source.remote.ip) else {
      counters.drop(.prefixFull)
      return nil
    }
    var record = serverRecord(listener, .udp, remote: source.remote, local: source.local)
    record.socket = source.socket
    record.session = newSession(under: state.steering)
    record.flags.insert(.implicit)
    guard hasRoom(state), hasRoomForImplicit(state), let slot = connections.insert(record) else {
      counters.drop(.connectionsFull)
      return nil
    }
    link(slot, to: listener)
    implicitPeers.add(key, slot: slot, to: &state.implicitPeers)
    let lost = UInt32(clamping: state.options.lost.millisecondsRoundedUp)
    open(
      slot, peer: Introduction(session: 0, lostAfter: lost, largest: .max), at: now)
    emit(.connectionReady, slot)
    return slot
  }

  /// Half of a listener's places are for those who have shown that they are there. What is left of
  /// those that have ended counts, for one datagram may make a peer and end it.
  private func hasRoomForImplicit(_ state: ListenerState) -> Bool {
    let half = max(Int(state.options.maxConnections) / 2, 1)
    return state.implicitPeers.count < half && implicitPeers.count < ImplicitPeers.most
      && implicitPeers.liveCount + implicitCloses.count < ImplicitPeers.most
  }

  /// A listener without room gives up the peer without a session that has been silent for longest,
  /// for one that has shown that it is there.
  mutating func makeRoom(_ state: ListenerState, at now: Instant) {
    guard !hasRoom(state), takesUnheardOf(state),
      let slot = implicitPeers.mostSilent(of: state.implicitPeers)
    else { return }
    cutOff(slot, .overload, .overload, at: now)
  }

  mutating func forgetImplicit(_ slot: Int, at now: Instant) {
    guard let state = connections[Int(connections[slot].listener)].listenerState else { return }
    let (socket, remote) = (connections[slot].socket, connections[slot].remote)
    implicitPeers.end(
      ImplicitPeers.Key(socket: socket, remote: remote), in: &state.implicitPeers, at: now)
  }
}
