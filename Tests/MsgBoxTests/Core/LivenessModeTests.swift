import MsgBox
import Testing

@Suite("Silent when idle, persistent keepalives, and ends for want of data", .transitions)
struct LivenessModeTests {
  private func onDemand() -> ConnectionOptions {
    var options = ConnectionOptions()
    options.liveness = .onDemand
    return options
  }

  /// Two ends, each with its options, after their handshake.
  private func settled(
    _ transport: Transport, server: ConnectionOptions, client: ConnectionOptions
  ) throws -> Pair {
    let pair = try Pair(transport, serverOptions: server, clientOptions: client)
    pair.run(for: .seconds(30))
    return pair
  }

  private func sentBytes(_ pair: Pair) -> UInt64 {
    pair.client.counters.bytesSent + pair.server.counters.bytesSent
  }

  // MARK: Silence

  @Test(
    "Idle ends that are silent when idle send nothing and never wake", arguments: bothTransports)
  func silent(transport: Transport) throws {
    let pair = try settled(transport, server: onDemand(), client: onDemand())
    for _ in 0..<50 { _ = pair.client.connect(transport, to: pair.address, options: onDemand()) }
    pair.run(for: .seconds(30))
    let sent = sentBytes(pair)
    #expect(pair.client.endpoint.nextDeadline == nil)
    #expect(pair.server.endpoint.nextDeadline == nil)
    pair.run(for: .seconds(3600))
    #expect(sentBytes(pair) == sent)
    #expect(pair.server.census.connections == 51)
    pair.finish()
    #expect(pair.server.endpoint.rotationCensus.outBeats == 0)
    #expect(pair.client.endpoint.rotationCensus.outBeats == 0)
  }

  @Test(
    "One keepalive follows 10 seconds after data that nothing follows", arguments: bothTransports)
  func sign(transport: Transport) throws {
    let pair = try settled(transport, server: onDemand(), client: onDemand())
    let beats = pair.client.counters.heartbeatsReceived
    let start = pair.simulation.now
    #expect(pair.client.send("1", to: pair.up) == .ok)
    pair.run(for: .seconds(6))
    #expect(pair.client.send("2", to: pair.up) == .ok)
    let heard = pair.simulation.run(within: .seconds(30)) {
      pair.client.counters.heartbeatsReceived > beats
    }
    #expect(heard)
    let took = pair.simulation.now.since(start)
    #expect(took >= .seconds(10) && took < .milliseconds(10_100))
    pair.run(for: .seconds(60))
    let sent = sentBytes(pair)
    pair.run(for: .seconds(3600))
    #expect(sentBytes(pair) == sent && pair.client.endpoint.nextDeadline == nil)
    #expect(pair.client.counters.heartbeatsReceived == beats + 1)
    #expect(pair.server.counters.heartbeatsReceived <= 2)
    pair.finish()
  }

  @Test("No keepalive follows data that was answered")
  func noSign() throws {
    let pair = try settled(.udp, server: onDemand(), client: onDemand())
    pair.server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer("", to: event.request) == .ok) }
    }
    let beats = pair.client.counters.heartbeatsReceived
    #expect(pair.client.get("", from: pair.up, context: 1) == .ok)
    pair.run(for: .seconds(60))
    #expect(pair.client.log.count(.reply) == 1)
    #expect(pair.client.counters.heartbeatsReceived == beats)
    pair.server.onEvent = nil
    pair.finish()
  }

  @Test("A dead peer is lost only once data waits for it", arguments: bothTransports)
  func lostOnDemand(transport: Transport) throws {
    let pair = try settled(transport, server: onDemand(), client: onDemand())
    pair.server.powerOff()
    pair.run(for: .seconds(3600))
    #expect(pair.client.log.count(.connectionLost) == 0)
    let start = pair.simulation.now
    #expect(pair.client.send("anybody there?", to: pair.up) == .ok)
    let lost = try #require(pair.client.wait(for: .connectionLost, within: .seconds(60)))
    let took = lost.time.since(start)
    #expect(lost.status == .timedOut && took >= .seconds(30) && took < .seconds(31))
    pair.finish()
  }

  @Test(
    "A peer that dies as it accepts is lost if a message waited for that", arguments: bothTransports
  )
  func lostAtOnce(transport: Transport) throws {
    let pair = try settled(transport, server: onDemand(), client: onDemand())
    let handle = pair.client.connect(transport, to: pair.address, options: onDemand())
    #expect(pair.client.send("early", to: handle) == .ok)
    pair.client.onEvent = { _, event in
      if event.kind == .connectionSetup, event.handle == handle { pair.server.powerOff() }
    }
    let start = pair.simulation.now
    let lost = try #require(pair.client.wait(for: .connectionLost, within: .seconds(60)))
    #expect(lost.handle == handle && lost.status == .timedOut)
    #expect(lost.time.since(start) < .seconds(31))
    pair.client.onEvent = nil
    pair.finish()
  }

  @Test("A peer that dies in the middle of a long transfer is lost", arguments: bothTransports)
  func lostInTransfer(transport: Transport) throws {
    let pair = try settled(transport, server: onDemand(), client: onDemand())
    pair.simulation.changeAll { $0.latency = .seconds(1) }
    let large = [UInt8](repeating: 1, count: 1_000_000)
    #expect(pair.client.sendReliably(large, to: pair.up, outcome: 1) == .ok)
    pair.run(for: .seconds(10))
    pair.server.powerOff()
    let start = pair.simulation.now
    let lost = try #require(pair.client.wait(for: .connectionLost, within: .seconds(60)))
    #expect(lost.status == .timedOut && lost.undelivered == 1)
    #expect(lost.time.since(start) <= .seconds(33))
    pair.finish()
  }

  @Test("A request that takes a minute to answer costs nobody its peer", arguments: bothTransports)
  func slowAnswer(transport: Transport) throws {
    let pair = try settled(transport, server: onDemand(), client: onDemand())
    #expect(pair.client.get("", from: pair.up, context: 1, timeout: .seconds(300)) == .ok)
    let request = try #require(pair.server.wait(for: .request))
    pair.run(for: .seconds(120))
    #expect(pair.server.answer("at last", to: request.request) == .ok)
    #expect(pair.client.wait(for: .reply)?.text == "at last")
    pair.run(for: .seconds(400))
    #expect(pair.client.endpoint.nextDeadline == nil, "nothing is waited for")
    #expect(pair.client.log.count(.connectionLost) + pair.server.log.count(.connectionLost) == 0)
    pair.finish()
  }

  @Test("A message that takes a minute on a stream costs nobody its peer")
  func slowStream() throws {
    let pair = try settled(.tcp, server: onDemand(), client: onDemand())
    pair.simulation.changeAll { $0.latency = .seconds(1) }
    let start = pair.simulation.now
    let large = [UInt8](repeating: 1, count: 3_000_000)
    #expect(pair.client.send(large, to: pair.up) == .ok)
    let message = try #require(pair.server.wait(for: .message, within: .seconds(600)))
    #expect(message.bytes.count == large.count)
    #expect(pair.simulation.now.since(start) > .seconds(40), "or the test shows nothing")
    #expect(pair.client.log.count(.connectionLost) + pair.server.log.count(.connectionLost) == 0)
    pair.simulation.changeAll { $0.latency = .milliseconds(10) }
    pair.run(for: .seconds(5))
    pair.finish()
  }

  @Test("A loop that slept loses nobody whose sign of life waits", arguments: bothTransports)
  func slept(transport: Transport) throws {
    let pair = try settled(transport, server: onDemand(), client: onDemand())
    #expect(pair.client.send("", to: pair.up) == .ok)
    pair.run(for: .seconds(1))
    pair.client.pause()
    pair.run(for: .seconds(120))
    pair.client.inputsPerTurn = 1
    pair.client.resume()
    pair.run(for: .seconds(120))
    #expect(pair.client.log.count(.connectionLost) == 0)
    pair.finish()
  }

  @Test("A peer of bare packets that does not answer is lost, and wakes nobody in vain")
  func implicit() throws {
    var options = onDemand()
    options.implicitPeers = true
    let raw = try RawServer(options: options)
    raw.send(RawPacket.oneWay(nil, "hi"))
    let ready = try #require(raw.server.wait(for: .connectionReady))
    #expect(raw.server.send("answer", to: ready.handle) == .ok)
    let lost = try #require(raw.server.wait(for: .connectionLost, within: .seconds(40)))
    #expect(lost.status == .timedOut)
    finishAll(raw.simulation)
  }

  @Test(
    "An end that is silent when idle asks for no heartbeats, and beats for a peer that does",
    arguments: bothTransports, [true, false])
  func mixed(transport: Transport, serverIsSilent: Bool) throws {
    let simulation = Simulation()
    let server = simulation.addNode("server")
    let client = simulation.addNode("client")
    var told: [UInt8: UInt64] = [:]
    simulation.onDatagram = { datagram in
      if datagram.kind == .hello || datagram.kind == .accept {
        told[datagram.bytes[1]] = RawPacket.number(datagram.bytes, at: 24, count: 4)
      }
      return true
    }
    let beat = ConnectionOptions()
    let listener = server.listen(transport, options: serverIsSilent ? onDemand() : beat)
    _ = try #require(server.wait(for: .listening))
    _ = client.connect(
      transport, to: server.address(of: listener), options: serverIsSilent ? beat : onDemand())
    _ = try #require(client.wait(for: .connectionSetup))
    if transport == .udp {
      #expect(told[5] == (serverIsSilent ? 30_000 : 0))
      #expect(told[6] == (serverIsSilent ? 0 : 30_000))
    }
    simulation.run(for: .seconds(30))
    let heard = (client.counters.heartbeatsReceived, server.counters.heartbeatsReceived)
    simulation.run(for: .seconds(600))
    #expect(client.counters.heartbeatsReceived - heard.0 >= 59)
    #expect(server.counters.heartbeatsReceived - heard.1 >= 59)
    #expect(client.log.count(.connectionLost) + server.log.count(.connectionLost) == 0)
    finishAll(simulation)
  }

  @Test("Those that come and go among silent ones leave no ghosts behind")
  func ghosts() throws {
    let pair = try settled(.udp, server: onDemand(), client: onDemand())
    var most = 0
    for _ in 0..<30 {
      var handles: [Handle] = []
      for _ in 0..<20 {
        handles.append(pair.client.connect(.udp, to: pair.address, options: onDemand()))
      }
      pair.run(for: .seconds(1))
      for handle in handles { #expect(pair.client.disconnect(handle) == .ok) }
      pair.run(for: .seconds(1))
      most = max(most, pair.server.endpoint.rotationCensus.pendingCloses)
    }
    #expect(most <= 40)
    pair.finish()
    #expect(pair.server.endpoint.rotationCensus.outBeats == 0)
  }

  // MARK: Persistent keepalives

  @Test("A persistent keepalive goes in both modes", arguments: bothTransports, [true, false])
  func keepalive(transport: Transport, isOnDemand: Bool) throws {
    var options = isOnDemand ? onDemand() : ConnectionOptions()
    if !isOnDemand {
      options.heartbeat = .seconds(100)
      options.lost = .seconds(201)
    }
    options.keepalive = .seconds(25)
    let pair = try settled(transport, server: onDemand(), client: options)
    var last = pair.simulation.now
    var longest = Interval(nanoseconds: 0)
    var heard = pair.server.counters.heartbeatsReceived
    for _ in 0..<600 {
      pair.run(for: .seconds(1))
      guard pair.server.counters.heartbeatsReceived > heard else { continue }
      heard = pair.server.counters.heartbeatsReceived
      longest = max(longest, pair.simulation.now.since(last))
      last = pair.simulation.now
    }
    #expect(longest > .seconds(10) && longest <= .seconds(26))
    if isOnDemand {
      #expect(pair.client.counters.heartbeatsReceived <= 2, "nobody answers a keepalive")
    }
    pair.finish()
  }

  // MARK: For want of data

  @Test(
    "Twelve heartbeats in a row without a message end a connection; one at the eleventh does not",
    arguments: bothTransports, [false, true])
  func idle(transport: Transport, comesFromPeer: Bool) throws {
    var options = ConnectionOptions()
    options.idleKeepalives = 12
    let pair = try Pair(transport, clientOptions: options)
    func run(beats: UInt64) {
      let goal = pair.client.counters.heartbeatsSent + beats
      pair.simulation.run(within: .seconds(300)) { pair.client.counters.heartbeatsSent >= goal }
    }
    func speak() {
      let status =
        comesFromPeer
        ? pair.server.send("real", to: pair.down) : pair.client.send("real", to: pair.up)
      #expect(status == .ok)
    }
    speak()
    pair.run(for: .milliseconds(100))
    for _ in 0..<3 {
      run(beats: 11)
      #expect(pair.client.log.count(.connectionClosed) == 0)
      speak()
      pair.run(for: .milliseconds(100))
    }
    run(beats: 12)
    #expect(pair.client.log.count(.connectionClosed) == 0)
    let beats = pair.client.counters.heartbeatsSent
    let closed = try #require(pair.client.wait(for: .connectionClosed, within: .seconds(11)))
    #expect(closed.status == .idle && pair.client.counters.heartbeatsSent == beats)
    #expect(pair.server.wait(for: .connectionClosed, within: .seconds(1))?.status == .idle)
    pair.finish()
  }

  // MARK: Parts that never become whole

  @Test(
    "Who holds a part of a reliable message of which nothing more comes ends the connection",
    arguments: [true, false])
  func stuck(isOnDemand: Bool) throws {
    let pair = try settled(
      .udp, server: isOnDemand ? onDemand() : ConnectionOptions(), client: ConnectionOptions())
    var large = 0
    pair.simulation.onDatagram = { datagram in
      guard datagram.from.ip == pair.client.ip, datagram.bytes.count > 200 else { return true }
      large += 1
      return large <= 5
    }
    let start = pair.simulation.now
    let bytes = [UInt8](repeating: 1, count: 100_000)
    #expect(pair.client.sendReliably(bytes, to: pair.up, outcome: 1) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.server.census.incompleteBytes > 0)
    let closed = try #require(pair.server.wait(for: .connectionClosed, within: .seconds(60)))
    #expect(closed.status == .overload)
    #expect(closed.time.since(start) >= .seconds(30) && closed.time.since(start) < .seconds(41))
    let heard = try #require(pair.client.wait(for: .connectionClosed, within: .seconds(1)))
    #expect(heard.status == .overload && heard.undelivered == 1)
    #expect(pair.server.census.incompleteBytes == 0)
    pair.simulation.onDatagram = nil
    pair.finish()
  }

  @Test("Such a part does not hold up an end that takes longer", arguments: [true, false])
  func stuckWhileClosing(isOnDemand: Bool) throws {
    var options = isOnDemand ? onDemand() : ConnectionOptions()
    options.closeTimeout = .seconds(60)
    let pair = try settled(.udp, server: options, client: ConnectionOptions())
    pair.simulation.onDatagram = { $0.bytes.count <= 1000 || $0.bytes[27] < 3 }
    let bytes = [UInt8](repeating: 1, count: 100_000)
    #expect(pair.client.sendReliably(bytes, to: pair.up) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.server.census.incompleteBytes > 0)
    let start = pair.simulation.now
    pair.simulation.link(from: pair.server.ip, to: pair.client.ip).conditions.isUp = false
    #expect(pair.server.sendReliably([1], to: pair.down) == .ok)
    #expect(pair.server.disconnect(pair.down) == .ok)
    let closed = try #require(pair.server.wait(for: .connectionClosed, within: .seconds(90)))
    #expect(closed.status == .endLocal && closed.undelivered == 1)
    #expect(closed.time.since(start) <= .seconds(60))
    #expect(closed.time.since(start) > .seconds(25))
    pair.simulation.onDatagram = nil
    pair.simulation.changeAll { $0.isUp = true }
    pair.finish()
  }
}
