import MsgBox
import Testing

@Suite("Ends that deliver what was accepted", .transitions)
struct FlushTests {
  /// Nothing goes from `from` to `to`, until it is `up` again; over TCP it waits.
  private func cut(_ pair: Pair, from: Node, to: Node, up: Bool = false) {
    pair.simulation.link(from: from.ip, to: to.ip).conditions.isUp = up
  }

  @Test(
    "What was accepted is delivered before the closed event, over a bad link",
    arguments: bothTransports, [UInt64(1), 2, 3])
  func everything(transport: Transport, seed: UInt64) throws {
    let pair = try Pair(transport, seed: seed)
    // A stream of the simulator stands still for 0.2 s at each loss.
    pair.simulation.changeAll { $0.loss = transport == .udp ? 100 : 10 }
    for index in 0..<100 {
      let bytes = [UInt8](repeating: UInt8(index), count: index % 7 * 300)
      let channel = UInt8(index % 3)
      let status = pair.client.sendReliably(
        bytes, to: pair.up, channel: channel, outcome: UInt(index))
      #expect(status == .ok)
      #expect(pair.client.send("plain", to: pair.up) == .ok)
    }
    let large = [UInt8](repeating: 7, count: 300_000)
    #expect(pair.client.sendReliably(large, to: pair.up, outcome: 100) == .ok)
    let start = pair.simulation.now
    #expect(pair.client.disconnect(pair.up) == .ok)
    #expect(pair.client.send("late", to: pair.up) == .ended)
    #expect(pair.client.get("late", from: pair.up) == .ended)
    #expect(pair.client.disconnect(pair.up) == .ended)
    #expect(pair.client.log.count(.connectionClosed) == 0)
    let closed = try #require(pair.client.wait(for: .connectionClosed))
    #expect(closed.status == .endLocal && closed.undelivered == 0)
    #expect(closed.time.since(start) < .seconds(5))
    #expect(pair.client.log.count(.delivered) == 101)
    let got = pair.server.log.all(.message)
    #expect(got.count { $0.text != "plain" } == 101)
    #expect(transport == .udp || got.count == 201)
    _ = try #require(pair.server.wait(for: .connectionClosed))
    pair.finish()
  }

  @Test(
    "At the deadline the rest is given up, counted, and told before the closed event",
    arguments: bothTransports, [UInt64(1), 5, 20])
  func deadline(transport: Transport, seconds: UInt64) throws {
    var options = ConnectionOptions()
    options.closeTimeout = .seconds(seconds)
    let pair = try Pair(transport, clientOptions: options)
    #expect(pair.client.get("", from: pair.up, context: 1, timeout: .seconds(60)) == .ok)
    pair.run(for: .seconds(1))
    cut(pair, from: pair.client, to: pair.server)
    for context in UInt(1)...3 {
      #expect(pair.client.sendReliably([1], to: pair.up, outcome: context) == .ok)
    }
    #expect(pair.client.sendReliably([1], to: pair.up) == .ok)
    #expect(pair.client.send("plain", to: pair.up) == .ok)
    pair.run(for: .milliseconds(50))
    let start = pair.simulation.now
    #expect(pair.client.disconnect(pair.up) == .ok)
    pair.run(for: .milliseconds(0))
    #expect(pair.client.log.string(of: pair.up) == "connectionSetup replyMissing")
    let closed = try #require(pair.client.wait(for: .connectionClosed))
    #expect(closed.time == start + .seconds(seconds))
    #expect(closed.status == .endLocal && closed.undelivered == 4)
    #expect(pair.client.dropped(.ended) == 4)
    let told = pair.client.log.all(.undelivered)
    #expect(told.map(\.getContext) == [1, 2, 3])
    #expect(told.allSatisfy { $0.status == .connectionEnded })
    #expect(pair.client.log.events.last?.kind == .connectionClosed)
    cut(pair, from: pair.client, to: pair.server, up: true)
    pair.finish()
  }

  /// What may happen to a connection while it is being closed.
  enum Cause: CaseIterable {
    case peerCloses, peerAborts, peerUnlistens, peerDies, peerRestarts, peerIsSilent, abort
  }

  @Test(
    "Whatever happens while it flushes, there is one closed event of our own end",
    arguments: bothTransports, Cause.allCases)
  func oneEnd(transport: Transport, cause: Cause) throws {
    var options = quickOptions()
    options.closeTimeout = .seconds(20)
    options.reconnectWait = .seconds(1)
    let pair = try Pair(transport, clientOptions: options)
    cut(pair, from: pair.client, to: pair.server)
    #expect(pair.client.sendReliably([1], to: pair.up, outcome: 1) == .ok)
    #expect(pair.client.disconnect(pair.up) == .ok)
    pair.run(for: .milliseconds(200))
    #expect(pair.client.log.count(.connectionClosed) == 0)
    let start = pair.simulation.now
    switch cause {
    case .peerCloses: #expect(pair.server.disconnect(pair.down) == .ok)
    case .peerAborts: #expect(pair.server.abort(pair.down) == .ok)
    case .peerUnlistens: #expect(pair.server.unlisten(pair.listener) == .ok)
    case .peerDies: pair.server.kill()
    case .peerRestarts:
      pair.server.restart()
      _ = pair.server.listen(transport, port: pair.address.port)
      cut(pair, from: pair.client, to: pair.server, up: true)
    case .peerIsSilent: cut(pair, from: pair.server, to: pair.client)
    case .abort: #expect(pair.client.abort(pair.up) == .ok)
    }
    let closed = try #require(pair.client.wait(for: .connectionClosed))
    #expect(closed.time.since(start) < .seconds(4))
    #expect(closed.status == .endLocal && closed.undelivered == 1 && closed.next == .none)
    #expect(pair.client.log.all(.undelivered).map(\.status) == [.connectionEnded])
    #expect(pair.client.log.count(.connectionLost) == 0)
    pair.simulation.changeAll { $0.isUp = true }
    pair.finish()
  }

  @Test(
    "What comes while it flushes is not delivered, and if reliable not acknowledged",
    arguments: bothTransports)
  func lateMessages(transport: Transport) throws {
    let pair = try Pair(transport)
    pair.run(for: .seconds(1))
    cut(pair, from: pair.client, to: pair.server)
    #expect(pair.client.sendReliably([1], to: pair.up, outcome: 1) == .ok)
    #expect(pair.client.disconnect(pair.up) == .ok)
    #expect(pair.server.send("plain", to: pair.down) == .ok)
    #expect(pair.server.get("get", from: pair.down, context: 1) == .ok)
    #expect(pair.server.sendReliably([2], to: pair.down, outcome: 2) == .ok)
    pair.run(for: .milliseconds(500))
    #expect(pair.client.log.count(.message) + pair.client.log.count(.request) == 0)
    #expect(pair.client.dropped(.ended) >= 3)
    cut(pair, from: pair.client, to: pair.server, up: true)
    let closed = try #require(pair.client.wait(for: .connectionClosed, within: .seconds(3)))
    #expect(closed.undelivered == 0 && pair.client.log.count(.delivered) == 1)
    let heard = try #require(pair.server.wait(for: .connectionClosed, within: .seconds(1)))
    #expect(heard.status == .endPeer && heard.undelivered == 1)
    #expect(pair.server.log.count(.message) == 1)
    #expect(pair.server.log.all(.undelivered).map(\.getContext) == [2])
    pair.finish()
  }

  @Test("The close goes in the datagram of the last message")
  func packed() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    var sizes: [Int] = []
    pair.simulation.onDatagram = { datagram in
      if datagram.from.ip == pair.client.ip { sizes.append(datagram.bytes.count) }
      return true
    }
    #expect(pair.client.send("last", to: pair.up) == .ok)
    #expect(pair.client.disconnect(pair.up) == .ok)
    pair.run(for: .milliseconds(150))
    #expect(sizes == [16 + 2 + 4 + 8])
    #expect(pair.server.log.string(of: pair.down) == "connectionReady message connectionClosed")
    pair.simulation.onDatagram = nil
    pair.finish()
  }

  @Test(
    "What came before the disconnect is acknowledged before the close",
    arguments: bothTransports)
  func acknowledgesFirst(transport: Transport) throws {
    for isAbort in [false, true] {
      let pair = try Pair(transport)
      pair.run(for: .seconds(1))
      pair.client.onEvent = { node, event in
        guard event.kind == .message else { return }
        _ = node.send("and", to: event.handle)
        #expect((isAbort ? node.abort(event.handle) : node.disconnect(event.handle)) == .ok)
      }
      #expect(pair.server.sendReliably([1], to: pair.down, outcome: 1) == .ok)
      let closed = try #require(pair.server.wait(for: .connectionClosed))
      #expect(closed.undelivered == 0 && pair.server.log.count(.delivered) == 1)
      pair.client.onEvent = nil
      pair.finish()
    }
  }

  // MARK: Abort

  @Test("An abort ends at once, in each phase", arguments: bothTransports)
  func abort(transport: Transport) throws {
    let pair = try Pair(transport)
    let early = pair.client.connect(transport, to: pair.address)
    #expect(pair.client.sendReliably([1], to: early, outcome: 9) == .ok)
    #expect(pair.client.abort(early) == .ok)
    pair.run(for: .milliseconds(0))
    let refused = try #require(pair.client.log.last(.connectionSetupError))
    #expect(refused.status == .cancelled && refused.undelivered == 1)
    pair.server.pause()
    let unheard = pair.client.connect(transport, to: pair.address)
    pair.run(for: .milliseconds(100))
    #expect(pair.client.abort(unheard) == .ok)
    pair.run(for: .milliseconds(0))
    #expect(pair.client.log.last(.connectionSetupError)?.handle == unheard)
    pair.server.resume()
    #expect(pair.server.abort(pair.listener) == .invalidArgument)
    cut(pair, from: pair.client, to: pair.server)
    #expect(pair.client.sendReliably([1], to: pair.up, outcome: 1) == .ok)
    #expect(pair.client.get("", from: pair.up, context: 1) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.client.abort(pair.up) == .ok)
    #expect(pair.client.abort(pair.up) == .ended)
    pair.run(for: .milliseconds(0))
    let closed = try #require(pair.client.log.last(.connectionClosed))
    #expect(closed.status == .endLocal && closed.undelivered >= 1)
    let events = pair.client.log.string(of: pair.up)
    #expect(events == "connectionSetup replyMissing undelivered connectionClosed")
    #expect(pair.client.abort(pair.up) == .badHandle)
    cut(pair, from: pair.client, to: pair.server, up: true)
    pair.finish()
  }

  // MARK: Listeners

  @Test(
    "Unlistening flushes each connection, tells of each, then of the listener's end",
    arguments: bothTransports, [true, false])
  func unlisten(transport: Transport, comesBack: Bool) throws {
    let pair = try Pair(transport)
    for _ in 0..<4 { _ = pair.client.connect(transport, to: pair.address) }
    _ = try #require(pair.server.wait(for: .connectionReady, count: 5))
    let downs = pair.server.log.all(.connectionReady).map(\.handle)
    pair.run(for: .seconds(1))
    cut(pair, from: pair.server, to: pair.client)
    for (index, handle) in downs.enumerated() where index != 4 {
      #expect(pair.server.sendReliably([1], to: handle, outcome: UInt(index + 1)) == .ok)
    }
    #expect(pair.server.disconnect(downs[0]) == .ok)
    let start = pair.simulation.now
    #expect(pair.server.unlisten(pair.listener) == .ok)
    #expect(pair.server.unlisten(pair.listener) == .ended)
    #expect(pair.server.send("", to: downs[1]) == .ended)
    pair.run(for: .seconds(1))
    #expect(pair.server.log.all(.connectionClosed).map(\.handle) == [downs[4]])
    #expect(pair.server.log.count(.listeningEnded) == 0)
    if comesBack { cut(pair, from: pair.server, to: pair.client, up: true) }
    let ended = try #require(pair.server.wait(for: .listeningEnded))
    let closed = pair.server.log.all(.connectionClosed)
    #expect(closed.count == 5 && pair.server.log.events.last?.kind == .listeningEnded)
    for event in closed {
      #expect(event.status == (event.handle == downs[0] ? .endLocal : .endUnlistened))
      #expect(event.undelivered == (comesBack || event.handle == downs[4] ? 0 : 1))
    }
    #expect(pair.server.log.count(.delivered) == (comesBack ? 4 : 0))
    #expect(pair.server.log.count(.undelivered) == (comesBack ? 0 : 4))
    let took = ended.time.since(start)
    #expect(comesBack ? took < .seconds(4) : took >= .seconds(5) && took < .seconds(6))
    cut(pair, from: pair.server, to: pair.client, up: true)
    pair.finish()
  }

  @Test("A stream that waits for its hello ends with its listener, and nobody is told of it")
  func unlistenAwaiting() throws {
    let simulation = Simulation()
    let server = simulation.addNode("server")
    let listener = server.listen(.tcp)
    _ = try #require(server.wait(for: .listening))
    let stream = try #require(
      RawStream(from: simulation.addNode("host"), to: server.address(of: listener)))
    simulation.run(for: .milliseconds(100))
    #expect(server.census.connections == 1 && server.openSockets == 2)
    #expect(server.unlisten(listener) == .ok)
    simulation.run(for: .milliseconds(100))
    #expect(server.log.string() == "listening listeningEnded")
    #expect(server.census.connections == 0 && server.openSockets == 0)
    #expect(stream.end == .finished && stream.received.isEmpty)
    stream.close()
    finishAll(simulation)
  }

  // MARK: The end of a box

  @Test(
    "A box that ends sends once what it can, and a close behind it", arguments: bothTransports,
    [false, true])
  func shutDown(transport: Transport, isFlushing: Bool) throws {
    let pair = try Pair(transport)
    pair.run(for: .seconds(1))
    var timed = SendOptions()
    timed.deadline = .seconds(1)
    #expect(pair.client.sendReliably([1], to: pair.up, channel: 1) == .ok)
    #expect(pair.client.sendReliably([2], to: pair.up, channel: 1) == .ok)
    #expect(pair.client.send([3], to: pair.up, options: timed) == .ok)
    #expect(pair.client.send([4], to: pair.up) == .ok)
    if isFlushing {
      #expect(pair.client.disconnect(pair.up) == .ok)
    }
    let events = pair.client.log.total
    pair.client.shutDown()
    pair.run(for: .milliseconds(1))
    #expect(pair.client.census.isEmpty && pair.client.endpoint.nextDeadline == nil)
    pair.client.kill()
    let closed = try #require(pair.server.wait(for: .connectionClosed))
    #expect(closed.status == .endPeer && pair.client.log.total == events)
    let got = Set(pair.server.log.all(.message).map(\.bytes))
    #expect(got == [[1], [2], [3], [4]])
    pair.finish()
  }

  // MARK: Before and without an end of our own

  @Test("A failed setup and a loss tell what was not delivered", arguments: bothTransports)
  func otherEnds(transport: Transport) throws {
    var options = quickOptions()
    let pair = try Pair(transport, clientOptions: options)
    options.connectTimeout = .seconds(1)
    let nowhere = Address(ip: IPAddress(v4: 0x0a09_0909), port: 9)
    let handle = pair.client.connect(transport, to: nowhere, options: options)
    #expect(pair.client.sendReliably([1], to: handle, outcome: 1) == .ok)
    #expect(pair.client.send("plain", to: handle) == .ok)
    #expect(pair.client.get("get", from: handle, context: 1, timeout: .seconds(9)) == .ok)
    let failed = try #require(pair.client.wait(for: .connectionSetupError))
    #expect(failed.undelivered == 3)
    let before = pair.client.log.string(of: handle)
    #expect(before == "replyMissing undelivered connectionSetupError")
    pair.simulation.change(pair.server, pair.client) { $0.isUp = false }
    #expect(pair.client.sendReliably([1], to: pair.up, outcome: 2) == .ok)
    let lost = try #require(pair.client.wait(for: .connectionLost))
    #expect(lost.undelivered == 1 && lost.status == .timedOut)
    #expect(pair.client.log.count(.undelivered) == 2)
    pair.simulation.change(pair.server, pair.client) { $0.isUp = true }
    pair.finish()
  }

  // MARK: Streams

  @Test("A frame that has begun is written to its end, and what is behind it is dropped")
  func begun() throws {
    let pair = try Pair(.tcp)
    pair.run(for: .seconds(1))
    pair.server.pause()
    for byte in UInt8(1)...2 {
      let bytes = [UInt8](repeating: byte, count: 200_000)
      #expect(pair.client.send(bytes, to: pair.up) == .ok)
    }
    pair.run(for: .milliseconds(100))
    #expect(pair.client.abort(pair.up) == .ok)
    pair.run(for: .milliseconds(1))
    #expect(pair.client.log.last(.connectionClosed)?.undelivered == 2)
    pair.server.resume()
    let closed = try #require(pair.server.wait(for: .connectionClosed))
    #expect(closed.status == .endPeer)
    #expect(pair.server.log.all(.message).map(\.bytes) == [[UInt8](repeating: 1, count: 200_000)])
    pair.finish()
  }

  @Test("However a stream stands when it is given up, its peer reads whole frames and the close")
  func neverHalf() throws {
    for seed in UInt64(1)...60 {
      var options = ConnectionOptions()
      options.closeTimeout = .milliseconds(300)
      let pair = try Pair(.tcp, seed: seed, clientOptions: options)
      var random = SeededRandom(seed: seed)
      var sent: [[UInt8]] = []
      for _ in 0..<random.within(1...12) {
        let isPaused = random.chance(250)
        if isPaused { pair.server.pause() }
        if !isPaused, random.chance(250) { pair.server.resume() }
        let size = random.within(0...(random.chance(300) ? 90_000 : 2000))
        let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: sent.count), count: size)
        let isReliable = random.chance(300)
        let status =
          isReliable
          ? pair.client.sendReliably(bytes, to: pair.up, outcome: UInt(sent.count))
          : pair.client.send(bytes, to: pair.up)
        #expect(status == .ok)
        sent.append(bytes)
        if random.chance(500) { pair.run(for: .milliseconds(UInt64(random.within(0...30)))) }
      }
      let isAbort = random.chance(500)
      #expect((isAbort ? pair.client.abort(pair.up) : pair.client.disconnect(pair.up)) == .ok)
      _ = try #require(pair.client.wait(for: .connectionClosed, within: .seconds(1)))
      pair.server.resume()
      let closed = try #require(pair.server.wait(for: .connectionClosed), "seed \(seed)")
      #expect(closed.status == .endPeer, "seed \(seed)")
      let got = pair.server.log.all(.message).map(\.bytes)
      #expect(got == Array(sent.prefix(got.count)), "seed \(seed)")
      pair.finish()
    }
  }

  @Test("A message that is too late while a stream flushes does not hold up its end")
  func expires() throws {
    let pair = try Pair(.tcp)
    pair.server.pause()
    #expect(pair.client.send([UInt8](repeating: 1, count: 300_000), to: pair.up) == .ok)
    pair.run(for: .milliseconds(100))
    var timed = SendOptions()
    timed.deadline = .milliseconds(50)
    #expect(pair.client.send([2], to: pair.up, options: timed) == .ok)
    #expect(pair.client.disconnect(pair.up) == .ok)
    pair.run(for: .seconds(1))
    pair.server.resume()
    let closed = try #require(pair.client.wait(for: .connectionClosed, within: .seconds(2)))
    #expect(closed.undelivered == 0 && pair.client.dropped(.expired) == 1)
    pair.finish()
  }

  @Test("A stream that was not read is read again once its end is decided")
  func resumes() throws {
    var options = ConnectionOptions()
    options.receiveMarkMessages = 1
    for isAbort in [true, false] {
      let pair = try Pair(.tcp, clientOptions: options)
      let id = pair.client.endpoint.socket(of: pair.up)
      let socket = try #require(id)
      pair.client.endpoint.untaken(pair.up, messages: 1, bytes: 1)
      #expect(pair.server.send("", to: pair.down) == .ok)
      pair.run(for: .milliseconds(100))
      #expect(pair.client.actions.contains(.pause(socket)))
      #expect(!pair.client.actions.contains(.resume(socket)))
      cut(pair, from: pair.client, to: pair.server)
      #expect(pair.client.sendReliably([1], to: pair.up) == .ok)
      #expect((isAbort ? pair.client.abort(pair.up) : pair.client.disconnect(pair.up)) == .ok)
      pair.run(for: .milliseconds(1))
      #expect(pair.client.actions.contains(.resume(socket)))
      cut(pair, from: pair.client, to: pair.server, up: true)
      pair.finish()
    }
  }
}
