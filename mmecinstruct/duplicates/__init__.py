"""Find duplicate images, titles and products, and cluster the products."""
