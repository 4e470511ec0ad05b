import MsgBox
import Testing

@Suite("Streams", .transitions)
struct StreamTests {
  private let simulation = Simulation(seed: 4)

  private struct Server {
    var node: Node
    var listener: Handle
    var address: Address
  }

  private func startServer(options: ConnectionOptions = .init()) throws -> Server {
    let node = simulation.addNode("server")
    let listener = node.listen(.tcp, options: options)
    _ = try #require(node.wait(for: .listening))
    return Server(node: node, listener: listener, address: node.address(of: listener))
  }

  private func frames() -> [UInt8] {
    RawPacket.frame(RawPacket.hello(own: 77))
      + RawPacket.frame(RawPacket.oneWay(nil, "one"))
      + RawPacket.frame(RawPacket.oneWay(nil, ""))
      + RawPacket.frame(RawPacket.heartbeat(nil))
      + RawPacket.frame(RawPacket.request(nil, replyID: 7, messageID: 1, Array("ask".utf8)))
      + RawPacket.frame(RawPacket.oneWay(nil, "last"))
  }

  @Test("A stream of frames gives the same events however it is split in two, or into single bytes")
  func splits() throws {
    let server = try startServer()
    let host = simulation.addNode("host")
    let bytes = frames()
    for split in 0...bytes.count {
      let events = server.node.log.total
      let stream = try #require(RawStream(from: host, to: server.address))
      if split == bytes.count {
        for byte in bytes { stream.send([byte]) }
      } else {
        stream.send(Array(bytes[..<split]))
        simulation.run(for: .milliseconds(20))
        stream.send(Array(bytes[split...]))
      }
      simulation.run(for: .milliseconds(50))
      let new = server.node.log.events.dropFirst(events)
      #expect(new.map(\.kind) == [.connectionReady, .message, .message, .request, .message])
      #expect(new.dropFirst().map(\.text) == ["one", "", "ask", "last"], "split at \(split)")
      stream.close()
      simulation.run(for: .milliseconds(50))
    }
    finishAll(simulation)
  }

  @Test("A stream that is cut at any byte delivers whole messages only, and is lost")
  func cuts() throws {
    let server = try startServer()
    let host = simulation.addNode("host")
    let bytes = frames()
    for cut in 0..<bytes.count {
      let events = server.node.log.total
      let stream = try #require(RawStream(from: host, to: server.address))
      stream.send(Array(bytes[..<cut]))
      simulation.run(for: .milliseconds(20))
      cut % 2 == 0 ? stream.close() : stream.reset()
      simulation.run(for: .milliseconds(50))
      let new = server.node.log.events.dropFirst(events)
      let whole = ["one", "", "ask", "last"]
      let texts = new.filter { $0.kind == .message || $0.kind == .request }.map(\.text)
      #expect(texts == Array(whole.prefix(texts.count)))
      #expect(new.isEmpty || new.last?.kind == .connectionLost, "cut at \(cut)")
      #expect(new.isEmpty || new.last?.status == .reset, "cut at \(cut)")
    }
    let good = try #require(RawStream(from: host, to: server.address))
    good.send(bytes)
    simulation.run(for: .milliseconds(50))
    #expect(server.node.log.last(.message)?.text == "last")
    #expect(server.node.census.connections == 1)
    good.close()
    finishAll(simulation)
  }

  @Test("The accept is one frame of 32 bytes with the client's id")
  func accept() throws {
    let server = try startServer()
    let stream = try #require(RawStream(from: simulation.addNode("host"), to: server.address))
    #expect(stream.shakeHands(own: 0x1122_3344_5566_7788))
    let accept = try #require(stream.frames.first)
    #expect(accept.count == 32)
    #expect(Array(accept[..<16]) == RawPacket.header(.accept, session: 0x1122_3344_5566_7788))
    #expect(server.node.log.string() == "listening connectionReady")
    stream.close()
    finishAll(simulation)
  }

  @Test("A close frame and FIN are closed; FIN or RST alone are lost")
  func ends() throws {
    let server = try startServer()
    let host = simulation.addNode("host")
    let ends: [(EventKind, Status, (RawStream) -> Void)] = [
      (
        .connectionClosed, .endPeer,
        {
          $0.send(RawPacket.frame(RawPacket.close(nil)))
          $0.close()
        }
      ),
      (.connectionClosed, .endPeer, { $0.send(RawPacket.frame(RawPacket.close(nil))) }),
      (.connectionLost, .reset, { $0.close() }),
      (.connectionLost, .reset, { $0.reset() }),
      (.connectionLost, .reset, { $0.shutDownWrite() }),
    ]
    for (index, (kind, status, end)) in ends.enumerated() {
      let stream = try #require(RawStream(from: host, to: server.address))
      #expect(stream.shakeHands())
      end(stream)
      simulation.run(for: .milliseconds(100))
      #expect(server.node.log.events.last?.kind == kind, "\(index)")
      #expect(server.node.log.events.last?.status == status, "\(index)")
      stream.close()
    }
    simulation.run(for: .seconds(5))
    #expect(server.node.openSockets == 1)
    finishAll(simulation)
  }

  @Test("A message that takes longer than the limit of silence to arrive is no silence")
  func slowMessage() throws {
    let server = try startServer()
    let stream = try #require(
      RawStream(from: simulation.addNode("host"), to: server.address))
    #expect(stream.shakeHands())
    let frame = RawPacket.frame(RawPacket.oneWay(nil, "this takes its time"))
    for byte in frame {
      stream.send([byte])
      simulation.run(for: .seconds(5))
    }
    #expect(server.node.log.last(.message)?.text == "this takes its time")
    #expect(server.node.log.count(.connectionLost) == 0)
    stream.send(Array(frame.dropLast()))
    let lost = try #require(server.node.wait(for: .connectionLost, within: .seconds(50)))
    #expect(lost.status == .timedOut)
    stream.close()
    finishAll(simulation)
  }

  @Test("A killed process is lost to its peer at once")
  func killed() throws {
    let pair = try Pair(.tcp)
    pair.client.kill()
    let lost = try #require(pair.server.wait(for: .connectionLost, within: .seconds(1)))
    #expect(lost.status == .reset)
    pair.finish()
  }

  @Test("Bytes that break the protocol are lost(protocol) and RST")
  func protocolErrors() throws {
    let server = try startServer()
    let host = simulation.addNode("host")
    let bad: [[UInt8]] = [
      RawPacket.u32(7) + [UInt8](repeating: 0xc0, count: 7),
      RawPacket.u32(0),
      RawPacket.u32(0xffff_ffff),
      RawPacket.u32(17_000_000 + 4096),
      RawPacket.frame([UInt8](repeating: 0, count: 8)),
      RawPacket.frame(RawPacket.header(.oneWay, packets: 0) + [1, 2]),
      RawPacket.frame(RawPacket.hello(own: 1)),
      RawPacket.frame(RawPacket.header(.request, replyID: 1)),
      RawPacket.frame(RawPacket.header(.reply, replyID: 1)),
    ]
    for bytes in bad {
      let stream = try #require(RawStream(from: host, to: server.address))
      #expect(stream.shakeHands())
      stream.send(bytes)
      simulation.run(for: .milliseconds(100))
      let last = server.node.log.events.last
      #expect(last?.kind == .connectionLost && last?.status == .protocolError, "\(bytes.prefix(8))")
      #expect(stream.end == .reset(systemError: 104), "\(bytes.prefix(8))")
      stream.close()
    }
    finishAll(simulation)
  }

  @Test("A first frame that is no hello gives no connection")
  func noHello() throws {
    let server = try startServer()
    let host = simulation.addNode("host")
    for packet in [RawPacket.oneWay(nil, "hi"), RawPacket.heartbeat(nil), RawPacket.close(nil)] {
      let stream = try #require(RawStream(from: host, to: server.address))
      stream.send(RawPacket.frame(packet))
      simulation.run(for: .milliseconds(100))
      #expect(stream.end == .reset(systemError: 104))
      stream.close()
    }
    #expect(server.node.log.string() == "listening")
    finishAll(simulation)
  }

  @Test("A stream that never says hello is dropped after the connect time-out")
  func silentStream() throws {
    let server = try startServer()
    let stream = try #require(RawStream(from: simulation.addNode("host"), to: server.address))
    simulation.run(for: .milliseconds(9_000))
    #expect(stream.end == nil && server.node.openSockets == 2)
    simulation.run(for: .seconds(3))
    #expect(stream.end != nil && server.node.openSockets == 1)
    stream.close()
    finishAll(simulation)
  }

  @Test(
    "Closing with 200 KB queued one way and unread bytes the other loses nothing that was queued")
  func closeUnderLoad() throws {
    let pair = try Pair(.tcp)
    let block = [UInt8](repeating: 7, count: 10_000)
    pair.server.pause()
    for _ in 0..<20 {
      #expect(pair.client.send(block, to: pair.up) == .ok)
    }
    pair.run(for: .milliseconds(100))
    pair.client.pause()
    pair.server.resume()
    for _ in 0..<5 { #expect(pair.server.send(block, to: pair.down) == .ok) }
    pair.run(for: .milliseconds(100))
    #expect(pair.client.disconnect(pair.up) == .ok)
    pair.client.resume()
    _ = try #require(pair.server.wait(for: .connectionClosed))
    #expect(pair.server.log.count(.message) == 20)
    #expect(pair.server.log.all(.message).allSatisfy { $0.bytes == block })
    pair.finish()
  }

  @Test("A close arrives although the peer's bytes reach a program that has closed")
  func closeAgainstTheTide() throws {
    let pair = try Pair(.tcp)
    let block = [UInt8](repeating: 7, count: 1000)
    // What the server sends is on its way when the client closes, and arrives before its close
    // does.
    for _ in 0..<5 {
      #expect(pair.server.send(block, to: pair.down) == .ok)
      pair.run(for: .milliseconds(1))
    }
    #expect(pair.client.send(block, to: pair.up) == .ok)
    #expect(pair.client.disconnect(pair.up) == .ok)
    let closed = try #require(pair.server.wait(for: .connectionClosed))
    #expect(closed.status == .endPeer && pair.server.log.count(.message) == 1)
    pair.finish()
  }

  @Test("Both ends send 2 MB through small buffers at once, going on when writable")
  func bothWays() throws {
    var options = ConnectionOptions()
    options.sendMarkBytes = 100_000
    let pair = try Pair(.tcp, serverOptions: options, clientOptions: options)
    let total = 200
    var sent = ["client": 0, "server": 0]
    var got = ["client": 0, "server": 0]
    func pump(_ node: Node, _ handle: Handle) {
      while sent[node.name, default: 0] < total {
        let number = sent[node.name, default: 0]
        let bytes = [UInt8](repeating: UInt8(number), count: 10_000 + number)
        let status = node.send(bytes, to: handle)
        if status == .wouldBlock { return }
        #expect(status == .ok)
        sent[node.name] = number + 1
      }
    }
    for node in [pair.client, pair.server] {
      node.log.isCountingOnly = true
      node.onEvent = { node, event in
        if event.kind == .writable { pump(node, event.handle) }
        guard event.kind == .message else { return }
        let number = got[node.name, default: 0]
        #expect(event.bytes.count == 10_000 + number && event.bytes.first == UInt8(number))
        got[node.name] = number + 1
      }
      node.streamPiece = 4096
    }
    pump(pair.client, pair.up)
    pump(pair.server, pair.down)
    #expect(pair.simulation.run(within: .seconds(60)) { got.values.allSatisfy { $0 == total } })
    #expect(pair.client.log.count(.writable) > 5 && pair.server.log.count(.writable) > 5)
    pair.finish()
  }

  @Test("A peer that stops reading fills its own queue and no other's")
  func stalledPeer() throws {
    let pair = try Pair(.tcp)
    let other = pair.simulation.addNode("other")
    let handle = other.connect(.tcp, to: pair.address)
    let ready = try #require(pair.server.wait(for: .connectionReady, count: 2))
    pair.client.pause()
    let block = [UInt8](repeating: 1, count: 50_000)
    var status = Status.ok
    var accepted = 0
    while status == .ok, accepted < 200 {
      status = pair.server.send(block, to: pair.down)
      accepted += status == .ok ? 1 : 0
      pair.run(for: .milliseconds(10))
    }
    #expect(status == .wouldBlock && accepted >= 20 && accepted < 30)
    #expect(pair.server.send("fine", to: ready.handle) == .ok)
    #expect(other.wait(for: .message, of: handle, within: .seconds(1))?.text == "fine")
    #expect(pair.server.log.count(.writable) == 0)
    pair.client.resume()
    _ = try #require(pair.server.wait(for: .writable, of: pair.down))
    pair.run(for: .seconds(5))
    #expect(pair.client.log.count(.message) == accepted)
    pair.finish()
  }

  @Test("Messages that cannot be sent any more are counted", arguments: [false, true])
  func unsent(isClosing: Bool) throws {
    let pair = try Pair(.tcp)
    pair.client.pause()
    let block = [UInt8](repeating: 1, count: 50_000)
    for _ in 0..<20 { #expect(pair.server.send(block, to: pair.down) == .ok) }
    pair.run(for: .milliseconds(100))
    let unsent = pair.server.endpoint.counters(of: pair.down, at: pair.server.now)?.queuedMessages
    #expect(unsent ?? 0 > 0)
    if isClosing { #expect(pair.server.disconnect(pair.down) == .ok) }
    pair.client.kill()
    pair.run(for: .seconds(15))
    #expect(Int(pair.server.dropped(.ended)) == unsent)
    finishAll(pair.simulation)
  }

  @Test("A message of any size up to 16 MiB passes; one byte more is too big")
  func sizes() throws {
    let pair = try Pair(.tcp)
    pair.client.streamPiece = 65_536
    for size in [1, 1184, 1185, 65_535, 65_536, 1_000_000] {
      let bytes = [UInt8](repeating: UInt8(size & 0xff), count: size)
      #expect(pair.client.send(bytes, to: pair.up) == .ok)
      #expect(
        pair.simulation.run(within: .seconds(30)) {
          pair.server.log.last(.message)?.bytes.count == size
        })
      #expect(pair.server.log.last(.message)?.bytes == bytes)
    }
    let tooBig = [UInt8](repeating: 0, count: 16_777_217)
    #expect(pair.client.send(tooBig, to: pair.up) == .tooBig)
    #expect(pair.client.get(tooBig, from: pair.up, context: 0) == .tooBig)
    pair.finish()
  }

  @Test("A frame that would take more than a box may hold ends its connection, and no other")
  func boxBound() throws {
    let pair = try Pair(.tcp)
    let other = pair.simulation.addNode("other")
    let second = other.connect(.tcp, to: pair.address)
    _ = try #require(other.wait(for: .connectionSetup))
    var limits = BoxLimits()
    limits.receiveBytes = 200_000
    let isSet = pair.server.endpoint.setLimits(limits)
    #expect(isSet)
    var most = 0
    pair.client.streamPiece = 10_000
    pair.server.onEvent = { node, _ in most = max(most, node.endpoint.census.incompleteBytes) }
    #expect(pair.client.send([UInt8](repeating: 1, count: 150_000), to: pair.up) == .ok)
    pair.run(for: .seconds(5))
    #expect(pair.server.log.last(.message)?.bytes.count == 150_000)
    #expect(pair.client.send([UInt8](repeating: 1, count: 400_000), to: pair.up) == .ok)
    let closed = try #require(pair.client.wait(for: .connectionClosed))
    #expect(closed.status == .overload)
    #expect(pair.server.log.last(.connectionClosed)?.status == .overload)
    #expect(pair.server.dropped(.memory) == 1 && most <= 210_000)
    #expect(pair.server.endpoint.census.incompleteBytes == 0)
    #expect(other.send("still there", to: second) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.server.log.last(.message)?.text == "still there")
    pair.finish()
  }

  @Test("Streams that begin frames and do not go on make room for one that does")
  func slowParts() throws {
    let pair = try Pair(.tcp)
    var limits = BoxLimits()
    limits.receiveBytes = 1_000_000
    let isSet = pair.server.endpoint.setLimits(limits)
    #expect(isSet)
    let host = pair.simulation.addNode("host")
    let slow = try (UInt64(0)..<14).map { index in
      let stream = try #require(RawStream(from: host, to: pair.address))
      #expect(stream.shakeHands(own: 100 + index))
      stream.send(
        RawPacket.u32(900_008) + RawPacket.header(.oneWay) + [UInt8](repeating: 1, count: 66_000))
      return stream
    }
    pair.run(for: .seconds(5))
    let held = pair.server.endpoint.census.incompleteBytes
    #expect(held > 900_000)
    pair.client.streamPiece = 10_000
    let message = [UInt8](repeating: 1, count: 450_000)
    for _ in 0..<4 {
      // One right behind the other.
      for _ in 0..<2 { #expect(pair.client.send(message, to: pair.up) == .ok) }
      pair.run(for: .seconds(5))
    }
    #expect(pair.server.log.all(.message).count { $0.bytes == message } == 8)
    #expect(pair.client.log.count(.connectionClosed) == 0)
    #expect(pair.server.log.all(.connectionClosed).allSatisfy { $0.handle != pair.down })
    #expect(slow.contains { $0.frames.last?[1] == 4 }, "one was closed")
    for stream in slow { stream.close() }
    pair.finish()
  }

  @Test("Streams that begin large frames hold little, and what they hold is counted")
  func begunFrames() throws {
    let server = try startServer()
    let host = simulation.addNode("host")
    let payload = [UInt8](repeating: 7, count: 100)
    let begin = Array(RawPacket.frame(RawPacket.oneWay(nil, payload + payload)).prefix(112))
    var large: [UInt8] = []
    large.append(bigEndian: UInt32(16_000_008))
    var streams: [RawStream] = []
    for _ in 0..<1000 {
      let stream = try #require(RawStream(from: host, to: server.address))
      stream.send(RawPacket.frame(RawPacket.hello(own: 77)) + large + begin.dropFirst(4))
      streams.append(stream)
    }
    simulation.run(for: .milliseconds(50))
    #expect(server.node.census.connections == 1000)
    let held = server.node.endpoint.census.incompleteBytes
    #expect(held >= 1000 * 100 && held <= 1000 * 400)
    for stream in streams { stream.close() }
    simulation.run(for: .seconds(1))
    #expect(server.node.endpoint.census.incompleteBytes == 0)
    finishAll(simulation)
  }

  @Test("Who has sent a large message is lent as much for the next one, and that is counted")
  func provenFrames() throws {
    let server = try startServer()
    let host = simulation.addNode("host")
    let stream = try #require(RawStream(from: host, to: server.address))
    #expect(stream.shakeHands())
    let frame = RawPacket.frame(RawPacket.oneWay(nil, [UInt8](repeating: 7, count: 50_000)))
    func sendBeginning() -> Int {
      stream.send(Array(frame.prefix(1000)))
      simulation.run(for: .milliseconds(20))
      return server.node.endpoint.census.incompleteBytes
    }
    #expect(sendBeginning() < 5000)
    stream.send(Array(frame.dropFirst(1000)))
    simulation.run(for: .milliseconds(20))
    #expect(server.node.log.last(.message)?.bytes.count == 50_000)
    #expect(server.node.endpoint.census.incompleteBytes == 0)
    let held = sendBeginning()
    #expect(held >= 50_000 && held <= 100_000)
    stream.close()
    simulation.run(for: .seconds(1))
    #expect(server.node.endpoint.census.incompleteBytes == 0)
    finishAll(simulation)
  }

  @Test("A listener out of descriptors tells once, and goes on")
  func acceptFails() throws {
    let server = try startServer()
    let socket = try #require(server.node.listeningSocket(at: server.address))
    for _ in 0..<3 {
      server.node.enter {
        server.node.endpoint.acceptFailed(
          socket.id, .noDescriptors, systemError: 24, at: server.node.now)
      }
    }
    #expect(server.node.log.string() == "listening error")
    #expect(server.node.log.last(.error)?.status == .noDescriptors)
    let client = simulation.addNode("client")
    _ = client.connect(.tcp, to: server.address)
    #expect(client.wait(for: .connectionSetup) != nil)
    finishAll(simulation)
  }
}
