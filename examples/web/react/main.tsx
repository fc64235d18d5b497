import { useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { Head } from "./Head";

function App() {
  const [smile, setSmile] = useState(0);
  const [message, setMessage] = useState("");
  const expression = useMemo(() => ({ mouthSmileLeft: smile, mouthSmileRight: smile }), [smile]);
  return (
    <main>
      <Head
        src="avatar.bin"
        expression={expression}
        style={{ height: "30rem" }}
        onError={setMessage}
      />
      <label>
        Smile{" "}
        <input
          type="range"
          min="0"
          max="1"
          step="0.01"
          value={smile}
          onChange={(event) => setSmile(Number(event.target.value))}
        />
      </label>
      <p role="alert">{message}</p>
    </main>
  );
}

createRoot(document.getElementById("root")!).render(<App />);
